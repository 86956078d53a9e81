struct rows {
    float *at;
};
