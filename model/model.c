/* model.c - a model directory or a GGUF file, opened. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_parts.h"
#include "model/gguf_tokenizer.h"
#include "model/tokenizer.h"
#include "model/weights.h"

/* path without slashes at the end. */
static int set_path(struct model *m, const char *path, struct errmsg *e)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (!n || n >= sizeof m->path)
        return err_set(e, ERR_ARG, "model: a path of %zu bytes, not in [1, %zu]", n,
                       sizeof m->path - 1);
    memcpy(m->path, path, n);
    return model_name(m->name, m->path, e);
}

/* Adds a file's content hash; "" for one that is not there, so that no two sets of files read the
 * same. */
static int hash_file(struct hash *h, const struct cache *cache, const char *path, struct errmsg *e)
{
    char hex[HASH_HEX] = "";
    int rc = access(path, F_OK) ? ERR_OK : cache_hash_file(cache, path, hex, e);

    hash_part(h, hex, sizeof hex);
    return rc;
}

static int hash_contents(struct model *m, const struct cache *cache, struct errmsg *e)
{
    static const char *const FILES[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja", "generation_config.json"};
    char path[sizeof m->path + 32];
    const char *file;
    struct hash h;
    int rc = ERR_OK;

    hash_init(&h);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0] && !rc && !weights_gguf(m->weights);
         i++) {
        snprintf(path, sizeof path, "%s/%s", m->path, FILES[i]);
        rc = hash_file(&h, cache, path, e);
    }
    for (int i = 0; !rc && (file = weights_file(m->weights, i)); i++)
        rc = hash_file(&h, cache, file, e);
    hash_done(&h, m->hash);
    return rc;
}

/* A model without a usable chat template still answers plain prompts. */
static int open_chat(struct model *m, struct errmsg *e)
{
    const struct gguf *g = weights_gguf(m->weights);
    struct errmsg why = {""};
    int rc = g ? gguf_chat(&m->chat, g, &why) : chat_open(&m->chat, m->path, &why);

    snprintf(m->why_no_chat, sizeof m->why_no_chat, "%.*s", (int)sizeof m->why_no_chat - 1,
             why.text);
    if (rc == ERR_EMPTY || rc == ERR_UNSUPPORTED || rc == ERR_FORMAT) return ERR_OK;
    return rc ? err_set(e, rc, "%s", why.text) : ERR_OK;
}

static int read_tokenizer(struct model *m, struct errmsg *e)
{
    const struct gguf *g = weights_gguf(m->weights);

    return g ? gguf_tokenizer(&m->tokenizer, g, e) : tokenizer_open(&m->tokenizer, m->path, e);
}

/* From its image, if the cache has one of this file; else the image is made for the next time. */
static int open_tokenizer(struct model *m, const struct cache *cache, struct errmsg *e)
{
    char path[sizeof m->path + 32], hash[HASH_HEX], name[CACHE_NAME_BYTES];
    const char *from = weights_gguf(m->weights) ? weights_file(m->weights, 0) : path;
    struct buf image = {0};
    struct errmsg why;
    int rc;

    snprintf(path, sizeof path, "%s/tokenizer.json", m->path);
    if (!cache || cache_hash_file(cache, from, hash, &why)) return read_tokenizer(m, e);
    m->cache = cache;
    cache_name(cache, "tokenizer", hash, name);
    if (cache_find(cache, name, &m->image)) {
        if (!tokenizer_load(&m->tokenizer, m->image.bytes, m->image.len, name, &why)) return ERR_OK;
        cache_drop(cache, &m->image);
    }
    rc = read_tokenizer(m, e);
    if (!rc && !tokenizer_save(m->tokenizer, &image))
        cache_keep(cache, name, image.data, image.len);
    buf_fini(&image);
    return rc;
}

static int check_sizes(const struct model *m, struct errmsg *e)
{
    if (tokenizer_size(m->tokenizer) <= m->config.vocab_size) return ERR_OK;
    return err_set(e, ERR_FORMAT, "%s: the tokenizer has %d ids, the vocabulary of the weights %d",
                   m->path, tokenizer_size(m->tokenizer), m->config.vocab_size);
}

/* All from one file. */
static int open_gguf(struct model *m, const char *path, struct errmsg *e)
{
    json_t *config = NULL;
    int rc = weights_open(&m->weights, path, e);

    if (!rc) rc = gguf_config(&config, weights_gguf(m->weights), e);
    if (!rc) rc = config_from_json(&m->config, config, NULL, path, e);
    json_decref(config);
    return rc;
}

static int open_parts(struct model *m, struct errmsg *e)
{
    char gguf[sizeof m->path + 256];
    int rc = model_locate(gguf, sizeof gguf, m->path, e);

    if (rc != ERR_EMPTY) return rc ? rc : open_gguf(m, gguf, e);
    rc = config_read(&m->config, m->path, e);
    if (!rc) rc = weights_open(&m->weights, m->path, e);
    return rc;
}

int model_open_cached(struct model **out, const char *path, const struct cache *cache,
                      struct errmsg *e)
{
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? set_path(m, path, e) : err_set(e, ERR_NOMEM, "model: no memory");

    *out = NULL;
    if (!rc) rc = open_parts(m, e);
    if (!rc) rc = open_tokenizer(m, cache, e);
    if (!rc) rc = check_sizes(m, e);
    if (!rc) rc = open_chat(m, e);
    if (!rc) rc = hash_contents(m, cache, e);
    if (rc) goto out;
    *out = m;
    m = NULL;
out:
    model_close(&m);
    return rc;
}

int model_open(struct model **out, const char *path, struct errmsg *e)
{
    return model_open_cached(out, path, NULL, e);
}

void model_close(struct model **m)
{
    if (!*m) return;
    weights_close(&(*m)->weights);
    tokenizer_close(&(*m)->tokenizer);
    cache_drop((*m)->cache, &(*m)->image);
    chat_close(&(*m)->chat);
    free(*m);
    *m = NULL;
}
