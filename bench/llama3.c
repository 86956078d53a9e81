/* llama3.c - Llama 3's vocabulary as a tokenizer.json. */
#include "bench/llama3.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "bench/report.h"
#include "model/letters.h"
#include "model/scanner.h"
#include "model/vocab.h"

#define N_SPECIALS 256

bool llama3_data(struct buf *out, const char *name)
{
    const char *root = getenv("NIGHTMILL_TEST_DATA");
    char line[1024], chunk[65536];
    size_t n;
    FILE *f;

    snprintf(line, sizeof line, "xz -dc '%s/%s' 2>/dev/null",
             root && *root ? root : "../shared/data", name);
    f = popen(line, "r");
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(out, chunk, n);
    return f && !pclose(f) && !out->failed;
}

static void add_token(struct vocab *v, const char *line, size_t len, int64_t id)
{
    char bytes[256];
    struct buf letters = {0};
    struct errmsg e;
    size_t n;

    if (sodium_base642bin((unsigned char *)bytes, sizeof bytes, line, len, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) ||
        letters_put(&letters, bytes, n) || vocab_add(v, letters.data, letters.len, id, &e))
        report_fail("llama3: rank %lld cannot be read", (long long)id);
    buf_fini(&letters);
}

/* Lines of "base64 rank", the ranks from 0 on. */
static void read_ranks(struct vocab *v, const struct buf *ranks)
{
    const char *at = ranks->data, *end = ranks->data + ranks->len;
    int64_t id = 0;

    for (const char *stop; at < end; at = stop + 1) {
        const char *space = memchr(at, ' ', (size_t)(end - at));

        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop || !space || space > stop) break;
        add_token(v, at, (size_t)(space - at), id++);
    }
}

static void put_string(struct buf *out, const char *text, size_t len)
{
    json_t *s = json_stringn(text, len);
    char *quoted = json_dumps(s, JSON_ENCODE_ANY);

    buf_adds(out, quoted);
    free(quoted);
    json_decref(s);
}

static void put_vocab(struct buf *out, const struct vocab *v)
{
    for (int32_t id = 0; id < vocab_size(v); id++) {
        size_t len;
        const char *text = vocab_text(v, id, &len);

        buf_adds(out, id ? ",\n" : "");
        put_string(out, text, len);
        buf_printf(out, ": %d", id);
    }
}

static void put_merges(struct buf *out, const struct vocab *v)
{
    struct buf pair = {0};
    const char *comma = "";

    for (int32_t id = 0; id < vocab_size(v); id++) {
        size_t len;
        const char *text = vocab_text(v, id, &len);

        for (size_t at = 0; at < len;) {
            at += (size_t)utf8_next(text + at, len - at, NULL);
            if (at == len || vocab_find(v, text, at) < 0 || vocab_find(v, text + at, len - at) < 0)
                continue;
            buf_clear(&pair);
            buf_add(&pair, text, at);
            buf_addc(&pair, ' ');
            buf_add(&pair, text + at, len - at);
            buf_adds(out, comma);
            put_string(out, pair.data, pair.len);
            comma = ",\n";
        }
    }
    buf_fini(&pair);
}

static void put_specials(struct buf *out, int first)
{
    for (int i = 0; i < N_SPECIALS; i++)
        buf_printf(out,
                   "%s{\"id\": %d, \"content\": \"<|reserved_special_token_%d|>\", \"special\": "
                   "true, \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                   "\"normalized\": false}",
                   i ? ",\n" : "", first + i, i);
}

bool llama3_file(struct buf *out)
{
    struct buf ranks = {0};
    struct vocab *v = NULL;
    struct errmsg e;

    if (!llama3_data(&ranks, "tokenizers/llama3-tokenizer.model.xz")) return false;
    if (vocab_open(&v, &e)) report_fail("%s", e.text);
    read_ranks(v, &ranks);
    buf_adds(out, "{\"version\": \"1.0\", \"added_tokens\": [");
    put_specials(out, vocab_size(v));
    buf_adds(out,
             "], \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
             "\"Split\", \"behavior\": \"Isolated\", \"invert\": false, \"pattern\": {\"Regex\": ");
    put_string(out, SCANNER_LLAMA3, strlen(SCANNER_LLAMA3));
    buf_adds(out, "}}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": "
                  "true, \"use_regex\": false}]}, \"decoder\": {\"type\": \"ByteLevel\", "
                  "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, "
                  "\"model\": {\"type\": \"BPE\", \"ignore_merges\": true, \"vocab\": {");
    put_vocab(out, v);
    buf_adds(out, "}, \"merges\": [");
    put_merges(out, v);
    buf_adds(out, "]}}");
    vocab_close(&v);
    buf_fini(&ranks);
    if (out->failed) report_fail("llama3: no memory");
    return true;
}
