/* model_parts.c - a part of a model, opened alone: no weights are touched. */
#include <stdio.h>

#include "model/gguf.h"
#include "model/gguf_tokenizer.h"
#include "model/model.h"

#define PATH_BYTES 4096

int model_tokenizer(struct tokenizer **out, const char *path, struct errmsg *e)
{
    char file[PATH_BYTES];
    struct gguf *g = NULL;
    int rc = gguf_locate(file, sizeof file, path, e);

    *out = NULL;
    if (rc == ERR_EMPTY) return tokenizer_open(out, path, e);
    if (!rc) rc = gguf_open(&g, file, e);
    if (!rc) rc = gguf_tokenizer(out, g, e);
    gguf_close(&g);
    return rc;
}

int model_chat(struct chat **out, const char *path, struct errmsg *e)
{
    char file[PATH_BYTES];
    struct gguf *g = NULL;
    int rc = gguf_locate(file, sizeof file, path, e);

    *out = NULL;
    if (rc == ERR_EMPTY) return chat_open(out, path, e);
    if (!rc) rc = gguf_open(&g, file, e);
    if (!rc) rc = gguf_chat(out, g, e);
    gguf_close(&g);
    return rc;
}
