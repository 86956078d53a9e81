/* model_parts.c - where a model lies, and a part of it opened alone: no weights are touched. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "model/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_parts.h"
#include "model/gguf_tokenizer.h"
#include "model/model.h"
#include "model/weights.h"

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

int model_name(char out[MODEL_NAME], const char *path, struct errmsg *e)
{
    size_t end = strlen(path), begin;
    int no, count;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    if (begin == end) begin = 0; /* the root itself */
    if (end - begin >= MODEL_NAME)
        return err_set(e, ERR_ARG, "model: a name of %zu bytes", end - begin);
    memcpy(out, path + begin, end - begin);
    out[end - begin] = '\0';
    out[gguf_stem(out, &no, &count)] = '\0';
    return ERR_OK;
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

/* "torch_dtype": "bfloat16", which newer files call "dtype". */
static enum dtype dtype_of_config(const json_t *config)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } KNOWN[] = {{"float32", DTYPE_F32}, {"float16", DTYPE_F16}, {"bfloat16", DTYPE_BF16}};
    const char *name = json_string_value(json_object_get(config, "torch_dtype"));

    if (!name) name = json_string_value(json_object_get(config, "dtype"));
    for (size_t i = 0; name && i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (!strcmp(name, KNOWN[i].name)) return KNOWN[i].dtype;
    return DTYPE_BF16;
}

static int config_of_directory(struct model_config *out, enum dtype *stored, const char *path,
                               struct errmsg *e)
{
    struct weights *w = NULL;
    struct errmsg why;
    json_t *config = NULL;
    int rc = config_read(out, path, e);

    if (rc) return rc;
    if (!weights_open(&w, path, &why)) {
        *stored = weights_dtype(w);
    } else {
        char file[PATH_BYTES];

        snprintf(file, sizeof file, "%s/config.json", path);
        config = json_load_file(file, 0, NULL);
        *stored = dtype_of_config(config);
    }
    weights_close(&w);
    json_decref(config);
    return ERR_OK;
}

int model_config(struct model_config *out, enum dtype *stored, const char *path, struct errmsg *e)
{
    char file[PATH_BYTES];
    struct weights *w = NULL;
    json_t *config = NULL;
    int rc = model_locate(file, sizeof file, path, e);

    if (rc == ERR_EMPTY) return config_of_directory(out, stored, path, e);
    if (!rc) rc = weights_open(&w, file, e);
    if (!rc) rc = gguf_config(&config, weights_gguf(w), e);
    if (!rc) rc = config_from_json(out, config, NULL, file, e);
    if (!rc) *stored = weights_dtype(w);
    json_decref(config);
    weights_close(&w);
    return rc;
}
