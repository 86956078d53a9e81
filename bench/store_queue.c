/* store_queue.c - a job's rows in the queue. */
#include "bench/store.h"

#include "base/clock.h"
#include "bench/report.h"
#include "broker/queue.h"

static struct queue *queue;
static int64_t batch_id, instance_id, now_ms;
static struct errmsg err;

static void must(int rc)
{
    if (rc) report_fail("queue: %s", err.text);
}

/* A batch and an instance; job ids count from 1 in a file of ours. */
static void open_file(const char *path)
{
    const struct batch_spec b = {.name = "bench", .max_attempts = 3};
    const struct instance_row i = {.uuid = "0", .name = "bench"};
    bool existed;

    now_ms = clock_wall_ms();
    must(queue_open(&queue, path, &(struct dbfile_opts){0}, now_ms, &err));
    must(queue_begin(queue, &err));
    must(queue_put_batch(queue, &b, now_ms, &batch_id, &existed, &err));
    must(queue_put_instance(queue, &i, now_ms, &instance_id, &err));
    must(queue_commit(queue, &err));
}

static void begin(void)
{
    must(queue_begin(queue, &err));
}

static void commit(void)
{
    must(queue_commit(queue, &err));
}

static void checkpoint(void)
{
    queue_checkpoint(queue);
}

static void put(const struct store_row *r)
{
    const struct wire_text none = {"", 0};
    const struct row row = {.custom_id = r->id,
                            .body = r->body,
                            .line = r->n + 1,
                            .code = none,
                            .message = none,
                            .param = none};
    enum put how;

    must(queue_put_row(queue, batch_id, &row, false, now_ms, &how, &err));
    if (how != PUT_ADDED) report_fail("queue: row %d was there already", r->n);
}

static void finish(const struct store_answer *a)
{
    const struct answer answer = {.job_id = a->n + 1,
                                  .instance_id = instance_id,
                                  .prompt_tokens = 100,
                                  .output_tokens = 50,
                                  .finish_reason = a->finish_reason,
                                  .text = a->text,
                                  .choices = a->choices};

    must(queue_finish(queue, &answer, now_ms, &err));
}

static void close_file(void)
{
    queue_close(&queue);
}

const struct store STORE_QUEUE = {"queue",    open_file, begin,  commit,
                                  checkpoint, put,       finish, close_file};
