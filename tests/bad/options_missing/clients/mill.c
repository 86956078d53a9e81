/* mill.c - a command with one option. */
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file", OPT_STR, 0, 0, 0},
    {"stones", 0, "N", "stones in the mill", OPT_INT, 0, 1, 8},
    {0}};
