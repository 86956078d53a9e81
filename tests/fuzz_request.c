/* fuzz_request.c - any bytes as an input file: each line gives a request or a row error.
 *
 * Held besides memory safety: a request's body is an object that reads back to itself (R2), a row
 * error has a code and a message, the short way of reading a line says what the full one says (S1),
 * lines lie in order inside the input, and no key is given twice.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"
#include "clients/lines.h"
#include "clients/prefix.h"
#include "clients/request.h"
#include "clients/rowid.h"
#include "tests/same_request.h"

#define MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory_fd(const uint8_t *data, size_t size)
{
    static int fd = -1;

    if (fd < 0) fd = memfd_create("fuzz", 0);
    assert(fd >= 0 && !ftruncate(fd, 0) && !lseek(fd, 0, SEEK_SET));
    assert(write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET));
    return fd;
}

/* A body read as a line of its own is the same body. */
static void check_again(const struct request *q, const struct request_format *f)
{
    struct line l = {.bytes = q->body.data, .len = q->body.len, .number = 1};
    struct request_format json = {.max_bytes = f->max_bytes};
    struct request again = {0};
    struct row_error err;
    int rc = request_parse(&again, &l, &json, NULL, &err);

    /* The members around a body would be taken for the line's own. */
    if (!rc && !again.has_custom_id && again.body.len == q->body.len) {
        assert(again.endpoint == q->endpoint);
        assert(!memcmp(again.body.data, q->body.data, q->body.len));
    }
    request_fini(&again);
}

/* Its prompt has as many keys as it is long; the same body has the same ones. */
static void check_prefix(const struct request *q)
{
    static struct prefix *p;
    struct prefix_keys keys, again;

    if (!p && prefix_open(&p)) return;
    prefix_read(p, q->endpoint, q->body.data, q->body.len, &keys);
    prefix_read(p, q->endpoint, q->body.data, q->body.len, &again);
    assert(keys.n == again.n && !memcmp(keys.at, again.at, sizeof keys.at[0] * (size_t)keys.n));
    assert(!keys.n || q->body.len >= (size_t)PREFIX_BYTES << (keys.n - 1));
    prefix_note(p, &keys);
    assert(prefix_group(p, &keys) >= 0);
}

static void check_request(const struct request *q, const struct request_format *f)
{
    json_t *body = json_loadb(q->body.data, q->body.len, JSON_ALLOW_NUL, NULL);

    assert(json_is_object(body));
    assert(utf8_is_valid(q->body.data, q->body.len));
    assert(json_object_get(body, q->endpoint == ENDPOINT_CHAT ? "messages" : "prompt"));
    assert(!q->has_custom_id || q->custom_id.len);
    json_decref(body);
    check_again(q, f);
    check_prefix(q);
}

static void check_error(const struct row_error *err, const struct line *l)
{
    assert(err->code && err->message[0] && err->line == l->number && err->column >= 0);
    assert(utf8_is_valid(err->message, strlen(err->message)));
    assert(utf8_is_valid(err->param, strlen(err->param)));
}

/* Takes a key for the row; one that was made must be new. */
static void check_key(struct rowid *ids, const struct request *q, const struct line *l)
{
    char made[ROWID_BYTES];
    int64_t first;
    int rc;

    if (q->has_custom_id) {
        rc = rowid_claim(ids, q->custom_id.data, q->custom_id.len, l->number, &first);
        assert(!rc || (rc == ERR_EXISTS && first < l->number));
        if (!rc) return;
        rc = rowid_line(ids, l->number, made);
    } else {
        rc = rowid_make(ids, q->body.data, q->body.len, l->number, made);
    }
    assert(!rc && rowid_claim(ids, made, strlen(made), l->number, &first) == ERR_EXISTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_format f = {.max_bytes = MAX_BYTES};
    struct field_counts ignored = {0};
    struct request q = {0};
    struct row_error err;
    struct lines *lines;
    struct rowid *ids;
    struct line l;
    int64_t number = 0, end = 0;
    int rc;

    if (size && data[0] == '>') f.text = true; /* no JSON line begins so */
    if (lines_open(&lines, memory_fd(data, size), MAX_BYTES, NULL)) return 0;
    rc = rowid_open(&ids);
    assert(!rc);
    while (!(rc = lines_next(lines, &l, NULL))) {
        assert(l.number > number && l.offset >= end && l.too_long == (l.len > MAX_BYTES));
        number = l.number;
        end = l.offset + (int64_t)l.len;
        assert(end <= (int64_t)size);
        if (!same_request(&q, &l, &f, &ignored, &err)) {
            check_request(&q, &f);
            check_key(ids, &q, &l);
        } else {
            check_error(&err, &l);
        }
    }
    assert(rc == ERR_EMPTY);
    request_fini(&q);
    rowid_close(&ids);
    lines_close(&lines);
    return 0;
}
