/* coll_nccl.h - NVIDIA's collectives, opened at run time, for ranks on several devices.
 *
 * Looked for, in this order: the file that $NIGHTMILL_NCCL names (and no other then), libnccl.so.2
 * as the system finds it, and that of Python's nvidia-nccl packages: below $VIRTUAL_ENV,
 * $CONDA_PREFIX, the prefix of each python3 in $PATH, and the user's ~/.local.
 *
 * Threads  any; it is opened once and stays.
 * Source   nccl.h of NCCL 2.28 (functions, numbers).
 */
#ifndef KERNELS_COLL_NCCL_H
#define KERNELS_COLL_NCCL_H

#include "kernels/coll.h"

#define NCCL_ENV     "NIGHTMILL_NCCL"
#define NCCL_LIBRARY "libnccl.so.2"
#define NCCL_LEAST   21000 /* the first with bf16 */

struct CUstream_st;
struct nccl_comm;

/* Its functions; each returns 0, or a number for `text`. */
struct nccl {
    int (*version)(int *out);
    const char *(*text)(int rc);
    int (*open_all)(struct nccl_comm **out, int n, const int *devices);
    int (*close)(struct nccl_comm *c);
    int (*abort)(struct nccl_comm *c);
    int (*sum)(const void *from, void *to, size_t count, int dtype, int op, struct nccl_comm *c,
               struct CUstream_st *s);
    int (*send)(const void *from, size_t count, int dtype, int to, struct nccl_comm *c,
                struct CUstream_st *s);
    int (*receive)(void *to, size_t count, int dtype, int from, struct nccl_comm *c,
                   struct CUstream_st *s);
    int (*group_start)(void);
    int (*group_end)(void);
};

/* ERR_UNSUPPORTED with one line: not here, too old, or without a function. */
int nccl_load(struct nccl *out, struct errmsg *e) MUSTCHECK;

const struct coll_ops *coll_nccl(struct errmsg *e); /* NULL: NCCL is not here, e says why */

#endif
