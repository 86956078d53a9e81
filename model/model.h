/* model.h - a model, opened: configuration, weights, tokenizer, chat template, content hash.
 *
 * A model is a directory in Hugging Face's form, a .gguf file, or a directory with one such file,
 * which then holds all parts.
 *
 * With a cache a start reads no file whole: content hashes and the tokenizer come from there.
 *
 * Threads    immutable after open.
 * Ownership  model_open/model_close; the parts are borrowed.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stddef.h>

#include "base/err.h"
#include "base/hash.h"
#include "model/cache.h"
#include "model/config.h"

struct chat;
struct tokenizer;

struct model {
    char name[256]; /* model_name */
    char path[1024];
    char hash[HASH_HEX]; /* over the content hashes of config, weights and tokenizer, or the GGUF */
    struct model_config config;
    struct weights *weights;
    struct tokenizer *tokenizer;
    struct chat *chat; /* NULL when the model has no chat template; why_no_chat says so */
    char why_no_chat[256];
    const struct cache *cache; /* where ... */
    struct cache_entry image;  /* ... the tokenizer lies */
};

int model_open(struct model **out, const char *path, struct errmsg *e) MUSTCHECK;
/* The same; cache is borrowed until model_close, NULL: none. */
int model_open_cached(struct model **out, const char *path, const struct cache *cache,
                      struct errmsg *e) MUSTCHECK;
void model_close(struct model **m);

/* The path of the GGUF that a user's path means; ERR_EMPTY: it means a directory of the other form.
 * What is not there is ERR_IO, another file ERR_FORMAT. */
int model_locate(char *out, size_t size, const char *path, struct errmsg *e) MUSTCHECK;

/* What users write as "model": the path's last part, without .gguf and the number of its part. */
#define MODEL_NAME 256
int model_name(char out[MODEL_NAME], const char *path, struct errmsg *e) MUSTCHECK;

/* One part of the same, for who needs no other; ERR_EMPTY: the model has no chat template. */
int model_tokenizer(struct tokenizer **out, const char *path, struct errmsg *e) MUSTCHECK;
int model_chat(struct chat **out, const char *path, struct errmsg *e) MUSTCHECK;
/* *stored: what most of the layers' matrices are stored in; of a directory without weights what its
 * config.json says they are. */
int model_config(struct model_config *out, enum dtype *stored, const char *path,
                 struct errmsg *e) MUSTCHECK;

#endif
