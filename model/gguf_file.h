/* gguf_file.h - inside a GGUF: what gguf.c, which reads the keys, and gguf_tensors.c share. */
#ifndef MODEL_GGUF_FILE_H
#define MODEL_GGUF_FILE_H

#include "base/mapping.h"
#include "model/gguf.h"

#define GGUF_MAX_TENSORS (1 << 20)

struct gguf {
    char *path;
    struct mapping file;
    size_t at;      /* how far the header is read */
    size_t data_at; /* offset of the data part */
    size_t alignment;
    struct gguf_value *values; /* by key */
    int n_values;
    struct tensor *tensors; /* by name */
    int n;
    char *names;         /* of the tensors, each with a NUL */
    struct gguf **parts; /* the other files of a split one, whose tensors are in tensors too */
    int n_parts;
};

static inline size_t gguf_left(const struct gguf *g)
{
    return g->file.size - g->at;
}

/* The next bytes of the header; ERR_FORMAT, with `what` and the place, where it ends before. */
int gguf_cut(const struct gguf *g, const char *what, struct errmsg *e);
int gguf_take_number(struct gguf *g, size_t bytes, const char *what, uint64_t *out,
                     struct errmsg *e) MUSTCHECK;
int gguf_take_text(struct gguf *g, const char *what, const char **text, size_t *len,
                   struct errmsg *e) MUSTCHECK;

/* The entries of n tensors, from where the keys end, and their places in the data part. */
int gguf_read_tensors(struct gguf *g, size_t n, struct errmsg *e) MUSTCHECK;

#endif
