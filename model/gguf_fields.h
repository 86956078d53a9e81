/* gguf_fields.h - the keys of one architecture in a GGUF, on their way into a JSON object.
 *
 * A key is given by what stands behind "ARCH.": "attention.head_count" means
 * "llama.attention.head_count" in a file of llama.
 *
 * Ownership  the struct's members are borrowed.
 * Errors     ERR_FORMAT names the file and the whole key; a null `to` only reads.
 */
#ifndef MODEL_GGUF_FIELDS_H
#define MODEL_GGUF_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/gguf.h"

struct gguf_fields {
    const struct gguf *g;
    char arch[64];
    json_t *to;
    struct errmsg *e;
};

/* NULL: the file has no such key. */
const struct gguf_value *gguf_field(const struct gguf_fields *f, const char *key);

int gguf_field_error(const struct gguf_fields *f, int rc, const char *key, const char *what);

/* A whole number in [0, 2^26], or an array of equal ones (a value for each layer); dflt where it is
 * absent, and absent is an error when dflt < 0. */
int gguf_field_int(const struct gguf_fields *f, const char *key, int dflt, int *out) MUSTCHECK;
/* Likewise any number of size 0 to 1e12; absent is an error when dflt < 0. */
int gguf_field_number(const struct gguf_fields *f, const char *key, double dflt,
                      double *out) MUSTCHECK;

/* Each puts one thing into `to`. */
int gguf_put(const struct gguf_fields *f, const char *name, json_t *v) MUSTCHECK; /* takes v */
int gguf_put_int(const struct gguf_fields *f, const char *name, const char *key,
                 bool needed) MUSTCHECK;
int gguf_put_number(const struct gguf_fields *f, const char *name, const char *key,
                    bool needed) MUSTCHECK;

#endif
