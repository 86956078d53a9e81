/* mill.c - a whole mill for the tests of what goes wrong. */
#include "tests/mill.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/test.h"

#define STEPS 20

static void write_rows(struct mill *m, int prompt_bytes)
{
    FILE *f;

    snprintf(m->input, sizeof m->input, "%s", test_path("in.jsonl"));
    ck_assert_ptr_nonnull(f = fopen(m->input, "w"));
    for (int i = 0; i < m->rows; i++)
        fprintf(f, "{\"custom_id\":\"row-%d\",\"prompt\":\"%0*d\",\"max_tokens\":100}\n", i,
                prompt_bytes, i);
    ck_assert_int_eq(fclose(f), 0);
}

void mill_sim(struct mill *m, struct mill_opts o)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "{\"name\":\"mill\",\"model\":\"m\",\"k0\":%d,\"kw\":0,\"k1\":0,\"k2\":0,"
                     "\"k3\":0,\"k4\":0,\"kv_tokens\":100000,\"max_model_len\":4096,"
                     "\"max_num_seqs\":%d,\"max_num_batched_tokens\":100000,"
                     "\"output_tokens\":%d,\"trace\":\"%s\"%s}",
                     o.ms ? o.ms : 5, o.seqs ? o.seqs : 16, STEPS, m->trace, o.more ? o.more : "");

    snprintf(m->sim, sizeof m->sim, "sim:%s", test_file("sim.json", text, (size_t)n));
}

void mill_open(struct mill *m, struct mill_opts o)
{
    const char *env = getenv("TEST_SEED");

    memset(m, 0, sizeof *m);
    m->seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)m->seed);
    fflush(stdout);
    m->rows = o.rows;
    write_rows(m, o.prompt_bytes ? o.prompt_bytes : 40);
    snprintf(m->db, sizeof m->db, "%s", test_path("night.db"));
    snprintf(m->trace, sizeof m->trace, "%s", test_file("trace", "", 0));
    mill_sim(m, o);
}

unsigned mill_draw(struct mill *m, unsigned n)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->seed >> 33) % n;
}

void mill_worker(const struct mill *m, struct process *p, const char *fault, const char *name,
                 const char *instances)
{
    PROCESS_START(p, fault, "worker", "--db", m->db, "--device", m->sim, "--name", name,
                  "--instances", instances);
}

void mill_submit(const struct mill *m, struct process *p)
{
    ck_assert_int_eq(PROCESS_RUN(p, 60, "submit", m->input, "--db", m->db, "--batch", "b"), 0);
}

int64_t mill_sql(const struct mill *m, const char *sql)
{
    return process_sql(m->db, sql);
}

void mill_wait(const struct mill *m, const char *sql, int64_t least, int limit_s)
{
    int64_t until = clock_mono_ms() + limit_s * 1000, v;

    while ((v = mill_sql(m, sql)) < least) {
        ck_assert_msg(clock_mono_ms() < until, "%s is %lld after %d s, not %lld", sql, (long long)v,
                      limit_s, (long long)least);
        process_sleep_ms(5);
    }
}

void mill_wait_done(const struct mill *m, int64_t least, int limit_s)
{
    mill_wait(m, "SELECT sum(n_done) FROM batch", least, limit_s);
}

int64_t mill_twice(const struct mill *m, int64_t *total)
{
    struct buf notes = process_read(m->trace);
    unsigned char *seen = calloc((size_t)m->rows + 1, 1);
    int64_t twice = 0;

    *total = 0;
    ck_assert_ptr_nonnull(seen);
    for (char *at = notes.data, *end; *at; at = end + 1) {
        long long job = strtoll(at, NULL, 10);

        if (!(end = strchr(at, '\n'))) break; /* it was killed while it wrote */
        ck_assert_msg(job > 0 && job <= m->rows, "job %lld was never submitted", job);
        ++*total;
        twice += seen[job];
        seen[job] = 1;
    }
    free(seen);
    buf_fini(&notes);
    return twice;
}

static void verify_export(const struct mill *m)
{
    struct process p;
    struct buf out;
    unsigned char *seen = calloc((size_t)m->rows, 1);
    int n = 0;

    ck_assert_ptr_nonnull(seen);
    ck_assert_int_eq(PROCESS_RUN(&p, 120, "results", "b", "--db", m->db), 0);
    out = process_read(p.out);
    for (const char *at = out.data; (at = strstr(at, "\"custom_id\":\"row-")); at++, n++) {
        int id = atoi(at + strlen("\"custom_id\":\"row-"));

        ck_assert_msg(id >= 0 && id < m->rows && !seen[id], "row-%d comes twice", id);
        seen[id] = 1;
    }
    ck_assert_int_eq(n, m->rows);
    free(seen);
    buf_fini(&out);
}

void mill_verify(const struct mill *m)
{
    ck_assert_int_eq(mill_sql(m, "SELECT count(*) FROM job"), m->rows);
    ck_assert_int_eq(mill_sql(m, "SELECT count(DISTINCT custom_id) FROM prompt"), m->rows);
    ck_assert_int_eq(mill_sql(m, "SELECT count(*) FROM result"), m->rows); /* Q1 */
    ck_assert_int_eq(mill_sql(m, "SELECT count(*) FROM job WHERE state<>1"), 0);
    ck_assert_int_eq(mill_sql(m, "SELECT count(*) FROM attempt WHERE counts=1"), 0); /* Q7 */
    ck_assert_int_eq(mill_sql(m, "SELECT sum(attempts) FROM job"), 0);
    rows_recount(m->db);
    verify_export(m);
}
