/* cufake.c - a library of CUDA's that the system does not find. */
int cufake_version(void);

int cufake_version(void)
{
    return 1;
}
