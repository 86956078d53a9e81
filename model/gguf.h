/* gguf.h - one GGUF file, mapped read-only, every promise of its header checked.
 *
 * A GGUF holds metadata (keys with typed values), a list of tensors, and their bytes, each tensor
 * at a multiple of the file's alignment.  Versions 2 and 3, little-endian.  Names of tensors are
 * the file's own; gguf_names.h gives them Hugging Face's.
 *
 * Shapes     the file has them fastest axis first; a struct tensor has them slowest first.
 * Threads    immutable after open.
 * Ownership  gguf_open/gguf_close; tensors, names, values and texts are borrowed from it.
 * Errors     ERR_IO; ERR_FORMAT for a lying or truncated file: one line that names the file, the
 *            key or tensor and the number; ERR_UNSUPPORTED for a version, a byte order or a number
 *            type that is not known, with what is.
 *
 * G1  no view reaches outside the file: counts, lengths, shape products, offsets and overlaps are
 *     checked at open; a key and a tensor's name are there once.
 * G2  a tensor's rows are whole blocks of its dtype, and its shape gives its bytes.
 * Source  the GGUF format, versions 2 and 3.
 */
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/weights.h"

/* The numbers are the file's. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};
#define N_GGUF_TYPES 13

/* Of what a token may be, the numbers of tokenizer.ggml.token_type. */
enum gguf_token {
    GGUF_TOKEN_NORMAL = 1,
    GGUF_TOKEN_UNKNOWN,
    GGUF_TOKEN_CONTROL,
    GGUF_TOKEN_USER, /* user-defined: found in the text before anything else */
    GGUF_TOKEN_UNUSED,
    GGUF_TOKEN_BYTE, /* <0xNN> */
};

struct gguf_value {
    const char *key; /* key_len bytes, no NUL behind them */
    size_t key_len;
    enum gguf_type type; /* of the value, or of each item of an array: never GGUF_ARRAY */
    bool is_array;
    size_t n;       /* items; 1 when it is no array */
    const char *at; /* the items, packed; a text is a length (8 bytes) and its bytes */
    size_t bytes;
};

struct gguf;

int gguf_open(struct gguf **out, const char *path, struct errmsg *e) MUSTCHECK;

/* The same over a file's bytes in memory, aligned to 16, which stay the caller's. */
int gguf_from_bytes(struct gguf **out, const void *bytes, size_t len, const char *where,
                    struct errmsg *e) MUSTCHECK;
void gguf_close(struct gguf **g);

/* Does path name a GGUF: such a file, or a directory that holds one and no safetensors?  Its path
 * then, of a split one the first part's.  ERR_EMPTY: it does not.  Several in one directory are
 * ERR_ARG; a .gguf that is not there or none is ERR_IO or ERR_FORMAT. */
int gguf_locate(char *out, size_t size, const char *path, struct errmsg *e) MUSTCHECK;

const char *gguf_path(const struct gguf *g);
const char *gguf_file(const struct gguf *g,
                      int i); /* the same, then its parts'; NULL behind them */

/* The tensors of another part of a split file as if they were g's; takes *part when it gives 0. */
int gguf_join(struct gguf *g, struct gguf **part, struct errmsg *e) MUSTCHECK;

int gguf_count(const struct gguf *g);
const struct tensor *gguf_at(const struct gguf *g, int i);
const struct tensor *gguf_tensor(const struct gguf *g, const char *name); /* NULL: none */

/* NULL when the file has no such key. */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);

/* general.architecture: "llama", "qwen2", ... */
int gguf_architecture(char *out, size_t size, const struct gguf *g, struct errmsg *e) MUSTCHECK;

/* Item i of a value; what has another type, or lies outside, leaves *out and says false.  Whole
 * numbers are read from every such type, gguf_number also from floats. */
bool gguf_int(const struct gguf_value *v, size_t i, int64_t *out);
bool gguf_number(const struct gguf_value *v, size_t i, double *out);
bool gguf_bool(const struct gguf_value *v, bool *out);

/* A text, or the texts of an array one after the other: *at begins at 0 and is moved on. */
bool gguf_text(const struct gguf_value *v, size_t *at, const char **text, size_t *len);

#endif
