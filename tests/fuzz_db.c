/* fuzz_db.c - a queue file with any bytes written over it, and what the broker does at its start.
 *
 * The input is a list of patches: where (4 bytes), how many (1 byte), the bytes; the last one may
 * be short.  They go over a valid file of a few hundred rows, whose pages are small in number, so
 * that the schema, the indexes, the hint and the rows are all hit.  Held besides memory safety: a
 * queue that opens can be read ahead from, written to and closed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/queue.h"
#include "broker/ready.h"

#define NOW_MS 1800000000000
#define ROWS   40

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    char path[256], log[264], shm[264];
    uint8_t *file;
    size_t len;
} whole;

static struct wire_text text(const char *s)
{
    return (struct wire_text){s, strlen(s)};
}

static void need(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "fuzz_db: cannot make the file: %s\n", what);
    exit(1);
}

/* Rows in several states, an instance, a hint: something in each table that a start reads. */
static void fill(struct queue *q)
{
    struct batch_spec b = {.name = "batch", .model = "model", .max_attempts = 2};
    struct instance_row i = {.uuid = "uuid", .name = "name", .tp = 1};
    const char *const uuids[] = {"uuid", "uuid"};
    const int64_t jobs[] = {1, 2};
    int64_t batch, instance;
    struct errmsg e;
    bool existed;

    need(!queue_begin(q, &e) && !queue_put_batch(q, &b, NOW_MS, &batch, &existed, &e) &&
             !queue_put_instance(q, &i, NOW_MS, &instance, &e) &&
             !queue_put_hint(q, jobs, uuids, 2, &e),
         e.text);
    for (int k = 0; k < ROWS; k++) {
        struct answer a = {.job_id = k, .instance_id = instance};
        struct failure f = {.job_id = k, .instance_id = instance, .counts = true};
        struct row r = {.line = k + 1};
        enum job_state to;
        char id[16];
        int64_t ms;
        enum put put;

        snprintf(id, sizeof id, "row%d", k);
        r.custom_id = r.body = text(id);
        r.code = r.message = r.param = text(k % 9 ? "" : "bad");
        a.text = a.choices = a.finish_reason = f.code = f.message = text("x");
        f.param = text("");
        need(!queue_put_row(q, batch, &r, false, NOW_MS, &put, &e), e.text);
        if (k % 4 == 1) (void)!queue_finish(q, &a, NOW_MS, &e);
        if (k % 4 == 2) (void)!queue_fail(q, &f, NOW_MS, &to, &ms, &e);
    }
    need(!queue_commit(q, &e), e.text);
}

static void remove_files(void)
{
    unlink(whole.path);
    unlink(whole.log);
    unlink(whole.shm);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    struct dbfile_opts o = {.sync_normal = true};
    struct queue *q;
    struct errmsg e;
    FILE *f;

    (void)argc, (void)argv;
    snprintf(whole.path, sizeof whole.path, "%s/nightmill-fuzz-%d.db", tmp, (int)getpid());
    snprintf(whole.log, sizeof whole.log, "%s-wal", whole.path);
    snprintf(whole.shm, sizeof whole.shm, "%s-shm", whole.path);
    need(!queue_open(&q, whole.path, &o, NOW_MS, &e), e.text);
    fill(q);
    queue_close(&q);
    need((f = fopen(whole.path, "rb")), whole.path);
    need(!fseek(f, 0, SEEK_END), whole.path);
    whole.len = (size_t)ftell(f);
    rewind(f);
    need((whole.file = malloc(whole.len)) && fread(whole.file, 1, whole.len, f) == whole.len,
         whole.path);
    fclose(f);
    atexit(remove_files);
    return 0;
}

/* The file with the patches over it; the first byte may cut it. */
static void write_patched(const uint8_t *data, size_t size)
{
    uint8_t *file = malloc(whole.len);
    size_t len = whole.len;
    FILE *f;

    need(file, "memory");
    memcpy(file, whole.file, len);
    while (size > 5) {
        size_t at = ((size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2]) % len, n = data[4];

        if (data[3] == 255 && at > 100) len = at; /* a cut */
        data += 5;
        size -= 5;
        if (n > size) n = size;
        if (n > len - at) n = len - at;
        memcpy(file + at, data, n);
        data += n;
        size -= n;
        if (at == len) break;
    }
    remove_files();
    need((f = fopen(whole.path, "wb")) && fwrite(file, 1, len, f) == len, whole.path);
    fclose(f);
    free(file);
}

static bool is_known(void *arg, int64_t job_id)
{
    (void)arg;
    return job_id % 7 == 0;
}

static int64_t none_held(void *arg, int64_t batch_id)
{
    (void)arg, (void)batch_id;
    return 0;
}

static int64_t roomy(void *arg, const char *model)
{
    (void)arg, (void)model;
    return INT64_MAX;
}

static void read_ahead(void)
{
    const struct ready_world w = {NULL, is_known, none_held, roomy};
    const struct ready_job *told;
    struct ready *r;
    struct errmsg e;
    struct ready_job *j;
    bool changed, more = true;

    if (ready_open(&r, whole.path, &w, &e)) return;
    (void)!ready_refresh(r, NOW_MS, &changed, &e);
    for (int i = 0; i < 2 * ROWS && more && !ready_read(r, true, &more, &e); i++)
        ;
    for (int i = 0; i < 2 * ROWS && (told = ready_tell(r)); i++)
        free(ready_take(r, told->job_id));
    for (int i = 0; i < 2 * ROWS && !ready_pop_suspect(r, "model", INT64_MAX, &j, &e) && j; i++)
        free(j);
    ready_close(&r);
}

static void write_something(struct queue *q)
{
    struct row r = {.custom_id = text("new"), .body = text("body"), .line = 1};
    struct answer a = {.job_id = 3, .instance_id = 1, .text = text("x"), .choices = text("[]")};
    struct control retry = {.verb = VERB_RETRY, .batch = "batch"};
    struct errmsg e;
    enum put put;
    int64_t n;

    r.code = r.message = r.param = a.finish_reason = text("");
    if (queue_begin(q, &e)) return;
    (void)!queue_put_row(q, 1, &r, false, NOW_MS, &put, &e);
    (void)!queue_finish(q, &a, NOW_MS, &e);
    (void)!queue_due(q, NOW_MS + 100000, &n, &e);
    do
        if (queue_control(q, &retry, NOW_MS, &e)) break;
    while (retry.more);
    if (queue_commit(q, &e)) queue_rollback(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dbfile_opts o = {.sync_normal = true};
    struct queue *q;
    struct errmsg e;

    write_patched(data, size);
    if (queue_open(&q, whole.path, &o, NOW_MS, &e)) return 0;
    read_ahead();
    write_something(q);
    queue_close(&q);
    return 0;
}
