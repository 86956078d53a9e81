struct rows {
    int T;
};
