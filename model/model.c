/* model.c - a model directory or a GGUF file, opened. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_tokenizer.h"
#include "model/jsonfile.h"
#include "model/tokenizer.h"
#include "model/weights.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)

/* name and path, without slashes at the end; a file's name is without its .gguf. */
static int set_name(struct model *m, const char *path, struct errmsg *e)
{
    size_t n = strlen(path);
    const char *slash;

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (!n || n >= sizeof m->path)
        return err_set(e, ERR_ARG, "model: a path of %zu bytes, not in [1, %zu]", n,
                       sizeof m->path - 1);
    memcpy(m->path, path, n);
    slash = strrchr(m->path, '/');
    if (slash && !slash[1]) slash = NULL;
    n = (size_t)snprintf(m->name, sizeof m->name, "%s", slash ? slash + 1 : m->path);
    if (n >= sizeof m->name) return err_set(e, ERR_ARG, "model: a name of %zu bytes", n);
    if (n > 5 && !strcmp(m->name + n - 5, ".gguf")) m->name[n - 5] = 0;
    return ERR_OK;
}

/* A part is its length and its bytes, so that no two sets of files read the same. */
static int hash_file(struct hash *h, const char *dir, const char *name, struct errmsg *e)
{
    struct buf text = {0};
    uint64_t len;
    int rc = ERR_OK;

    if (jsonfile_exists(dir, name)) rc = jsonfile_bytes(&text, dir, name, MAX_FILE_BYTES, e);
    len = text.len;
    hash_part(h, &len, sizeof len);
    if (text.len) hash_part(h, text.data, text.len);
    buf_fini(&text);
    return rc;
}

static int hash_contents(struct model *m, struct errmsg *e)
{
    static const char *const FILES[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja", "generation_config.json"};
    struct hash h;

    hash_init(&h);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0] && !weights_gguf(m->weights); i++) {
        int rc = hash_file(&h, m->path, FILES[i], e);

        if (rc) return rc;
    }
    weights_hash(m->weights, &h);
    hash_done(&h, m->hash);
    return ERR_OK;
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
    return rc ? rc : gguf_tokenizer(&m->tokenizer, weights_gguf(m->weights), e);
}

static int open_parts(struct model *m, struct errmsg *e)
{
    char gguf[sizeof m->path + 256];
    int rc = gguf_locate(gguf, sizeof gguf, m->path, e);

    if (rc != ERR_EMPTY) return rc ? rc : open_gguf(m, gguf, e);
    rc = config_read(&m->config, m->path, e);
    if (!rc) rc = weights_open(&m->weights, m->path, e);
    return rc ? rc : tokenizer_open(&m->tokenizer, m->path, e);
}

int model_open(struct model **out, const char *path, struct errmsg *e)
{
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? set_name(m, path, e) : err_set(e, ERR_NOMEM, "model: no memory");

    *out = NULL;
    if (!rc) rc = open_parts(m, e);
    if (!rc) rc = check_sizes(m, e);
    if (!rc) rc = open_chat(m, e);
    if (!rc) rc = hash_contents(m, e);
    if (rc) goto out;
    *out = m;
    m = NULL;
out:
    model_close(&m);
    return rc;
}

void model_close(struct model **m)
{
    if (!*m) return;
    weights_close(&(*m)->weights);
    tokenizer_close(&(*m)->tokenizer);
    chat_close(&(*m)->chat);
    free(*m);
    *m = NULL;
}
