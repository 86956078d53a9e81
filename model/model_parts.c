/* model_parts.c - where a model lies, and a part of it opened alone: no weights are touched. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "model/gguf.h"
#include "model/gguf_tokenizer.h"
#include "model/model.h"

#define PATH_BYTES 4096

int model_locate(char *out, size_t size, const char *path, struct errmsg *e)
{
    struct stat st;
    int rc = gguf_locate(out, size, path, e);

    if (rc != ERR_EMPTY) return rc;
    if (stat(path, &st)) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    return S_ISDIR(st.st_mode)
               ? ERR_EMPTY
               : err_set(e, ERR_FORMAT, "%s: neither a model directory nor a GGUF file", path);
}

int model_tokenizer(struct tokenizer **out, const char *path, struct errmsg *e)
{
    char file[PATH_BYTES];
    struct gguf *g = NULL;
    int rc = model_locate(file, sizeof file, path, e);

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
    int rc = model_locate(file, sizeof file, path, e);

    *out = NULL;
    if (rc == ERR_EMPTY) return chat_open(out, path, e);
    if (!rc) rc = gguf_open(&g, file, e);
    if (!rc) rc = gguf_chat(out, g, e);
    gguf_close(&g);
    return rc;
}
