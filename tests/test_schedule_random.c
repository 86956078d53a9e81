/* test_schedule_random.c - the scheduler's invariants under thousands of events in random order,
 * against plain arrays that remember who was told what. */
#include <string.h>

#include "broker/schedule.h"
#include "tests/test.h"

#define JOBS      400
#define INSTANCES 9
#define EVENTS    3000

struct known_job {
    struct schedule_job w;
    bool is_pooled, is_known;
    int64_t at[2];    /* who holds it; 0: nobody */
    bool unbegun[2];  /* as he last told */
    bool leaves_pool; /* it was said not to be ready any more */
};

struct known_instance {
    struct schedule_instance is;
    bool is_here;
    int64_t rows, tokens; /* of what it asked for */
    int64_t n_held;
    int64_t grants; /* since it held nothing */
};

static struct schedule *s;
static struct known_job jobs[JOBS + 1];
static struct known_instance instances[INSTANCES + 1];
static uint64_t state;
static double now_s;
static uint64_t digest; /* of all decisions */
static enum schedule_policy policy;
static bool is_told; /* an event, whose decisions were not read yet */

/* ck_assert notes each pass, and these are millions. */
#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) ck_abort_msg("%s", #x);                                                          \
    } while (0)

static unsigned rnd(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

/* --- what is known ---------------------------------------------------------------------------- */

static int64_t limit_of(const struct known_instance *i)
{
    return i->is.kv_tokens < i->is.max_model_len ? i->is.kv_tokens : i->is.max_model_len;
}

static int64_t largest_of(int32_t model)
{
    int64_t most = 0;

    for (int k = 1; k <= INSTANCES; k++)
        if (instances[k].is_here && instances[k].is.model == model &&
            limit_of(&instances[k]) > most)
            most = limit_of(&instances[k]);
    return most;
}

static bool may_run(const struct known_instance *i, const struct known_job *j)
{
    int64_t limit = limit_of(i);

    if (j->w.model && j->w.model != i->is.model) return false;
    if (j->w.need_tokens) return j->w.need_tokens <= limit;
    return j->w.prompt_tokens + (j->w.max_tokens ? j->w.max_tokens : 1) <= limit ||
           limit >= largest_of(i->is.model);
}

static void let_go(struct known_job *j, int64_t id)
{
    int k = j->at[0] == id ? 0 : 1;

    ck_assert_int_eq(j->at[k], id);
    j->at[k] = 0;
    instances[id].n_held--;
    if (!j->at[0]) {
        j->at[0] = j->at[1];
        j->unbegun[0] = j->unbegun[1];
        j->at[1] = 0;
    }
}

static void hold(struct known_job *j, int64_t id, int k)
{
    j->at[k] = id;
    j->unbegun[k] = true;
    instances[id].n_held++;
    instances[id].rows--;
}

/* --- what is decided -------------------------------------------------------------------------- */

static void check_grant(const struct schedule_decision *d)
{
    struct known_job *j = &jobs[d->job_id];
    struct known_instance *i = &instances[d->instance];

    ck_assert(j->is_pooled && !j->at[0]); /* S1 */
    ck_assert(may_run(i, j));             /* S2 */
    ck_assert_int_gt(i->rows, 0);
    ck_assert(d->tokens > 0 && d->seconds >= 0);
    for (int k = 1; k <= JOBS; k++) /* S3 */
        MUST(!jobs[k].is_pooled || jobs[k].w.priority >= j->w.priority || !may_run(i, &jobs[k]));
    j->is_pooled = false;
    i->tokens -= d->tokens;
    hold(j, d->instance, 0);
}

static void check_copy(const struct schedule_decision *d)
{
    struct known_job *j = &jobs[d->job_id];

    ck_assert(policy == POLICY_SIZED);
    ck_assert(!j->is_pooled && j->at[0] && !j->at[1]); /* S1 */
    ck_assert_int_ne(j->at[0], d->instance);
    ck_assert(may_run(&instances[d->instance], j)); /* S2 */
    instances[d->instance].tokens -= d->tokens;
    hold(j, d->instance, 1);
}

static void check_take_back(const struct schedule_decision *d)
{
    const struct known_job *j = &jobs[d->job_id];
    int k = j->at[0] == d->instance ? 0 : 1;

    ck_assert(policy == POLICY_SIZED);
    ck_assert_int_eq(j->at[k], d->instance);
    ck_assert(j->unbegun[k]); /* S7 */
}

static void check_decision(const struct schedule_decision *d)
{
    switch (d->verdict) {
    case DECIDE_GRANT: check_grant(d); break;
    case DECIDE_COPY: check_copy(d); break;
    case DECIDE_TAKE_BACK: check_take_back(d); break;
    case DECIDE_STOP: let_go(&jobs[d->job_id], d->instance); break;
    case DECIDE_READ: ck_assert_int_gt(d->n, 0); break;
    }
    digest =
        (digest ^ (uint64_t)d->verdict ^ (uint64_t)d->job_id << 8 ^ (uint64_t)d->instance << 40) *
        0x100000001B3u;
}

/* S5: nobody who asked waits for nothing. */
static void check_idle(void)
{
    if (schedule_in_tail(s) || policy == POLICY_ROUND_ROBIN || policy == POLICY_WEIGHTED) return;
    for (int k = 1; k <= INSTANCES; k++) {
        struct known_instance *i = &instances[k];

        if (!i->is_here || i->n_held || i->rows <= 0 || i->tokens <= 0) continue;
        for (int n = 1; n <= JOBS; n++)
            MUST(!jobs[n].is_pooled || !may_run(i, &jobs[n]));
    }
}

static void check_counts(void)
{
    struct schedule_view v;
    size_t pooled = 0;

    for (int k = 1; k <= JOBS; k++)
        pooled += jobs[k].is_pooled;
    ck_assert_uint_eq(schedule_pooled(s), pooled);
    for (int k = 1; k <= INSTANCES; k++) {
        MUST(schedule_look(s, k, &v) == (instances[k].is_here ? ERR_OK : ERR_STALE));
        if (!instances[k].is_here) continue;
        MUST(v.rows == instances[k].n_held);
        MUST(v.rows || (!v.tokens && v.seconds <= 0)); /* subtracted exactly what was added */
        MUST(v.tokens >= 0 && v.seconds >= 0);
    }
}

static int tell(struct schedule_event ev)
{
    is_told = true;
    return schedule_event(s, &ev, now_s);
}

static void read_decisions(void)
{
    const struct schedule_decision *d;
    size_t n;

    if (!is_told) return;
    is_told = false;
    d = schedule_decisions(s, &n);
    for (size_t k = 0; k < n; k++)
        check_decision(&d[k]);
    check_idle();
    check_counts();
}

/* --- what happens ----------------------------------------------------------------------------- */

static void change_ready(void)
{
    struct known_job *j = &jobs[1 + rnd(JOBS)];
    struct schedule_job w = {.id = j - jobs,
                             .batch = 1 + rnd(4),
                             .priority = rnd(3),
                             .group = rnd(3) ? 0 : 1 + rnd(6),
                             .model = (int32_t)rnd(3),
                             .prompt_tokens = 1 + (int32_t)rnd(rnd(5) ? 200 : 3000),
                             .max_tokens = (int32_t)rnd(300),
                             .output_tokens = rnd(3) ? -1 : 1 + (int32_t)rnd(200),
                             .need_tokens = rnd(9) ? 0 : 1 + rnd(5000)};

    if (j->is_known) {
        ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_READY, .job = &w}), ERR_STALE);
        return;
    }
    *j = (struct known_job){.w = w, .is_pooled = true, .is_known = true};
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_READY, .job = &w}), ERR_OK);
}

static void change_unready(void)
{
    struct known_job *j = &jobs[1 + rnd(JOBS)];
    int rc = tell((struct schedule_event){.kind = EVENT_UNREADY, .id = j - jobs});

    ck_assert_int_eq(rc, j->is_known ? ERR_OK : ERR_STALE);
    if (j->is_pooled) *j = (struct known_job){0};
    j->leaves_pool = j->is_known;
}

static void change_here(void)
{
    int64_t id = 1 + rnd(INSTANCES);
    struct known_instance *i = &instances[id];

    if (i->is_here) return;
    *i = (struct known_instance){.is = {.id = id,
                                        .model = 1 + (int32_t)rnd(2),
                                        .host = rnd(3),
                                        .perf = {.k0 = rnd(3), .kw = rnd(20), .k1 = rnd(3) * 0.05},
                                        .kv_tokens = 1000 + rnd(4000),
                                        .max_model_len = 1000 + rnd(4000),
                                        .max_num_seqs = 1 + rnd(16),
                                        .prefix_caching = rnd(2)},
                                 .is_here = true};
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &i->is}), ERR_OK);
}

static void change_gone(void)
{
    int64_t id = 1 + rnd(INSTANCES);

    if (!instances[id].is_here || rnd(4)) return;
    instances[id].is_here = false;
    for (int k = 1; k <= JOBS; k++) {
        struct known_job *j = &jobs[k];

        if (j->at[0] != id && j->at[1] != id) continue;
        let_go(j, id);
        if (j->at[0]) continue;
        if (j->leaves_pool)
            *j = (struct known_job){0};
        else
            j->is_pooled = true;
    }
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_LEAVE, .id = id}), ERR_OK);
}

static void change_ask(void)
{
    int64_t id = 1 + rnd(INSTANCES);
    struct known_instance *i = &instances[id];
    int rc;

    i->rows = rnd(40);
    i->tokens = rnd(20000);
    rc = tell(
        (struct schedule_event){.kind = EVENT_ASK, .id = id, .rows = i->rows, .tokens = i->tokens});
    ck_assert_int_eq(rc, i->is_here ? ERR_OK : ERR_STALE);
}

static void change_beat(void)
{
    int64_t id = 1 + rnd(INSTANCES), n;
    struct known_instance *i = &instances[id];

    if (!i->is_here) return;
    n = rnd(2) ? i->n_held : 0; /* all of them or none: the order is the scheduler's to know */
    for (int k = 1; k <= JOBS; k++)
        for (int m = 0; m < 2; m++)
            if (jobs[k].at[m] == id) jobs[k].unbegun[m] = n > 0;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_BEAT, .id = id, .rows = n}),
                     ERR_OK);
}

static struct known_job *a_held_job(int64_t *id)
{
    unsigned from = rnd(JOBS);

    for (unsigned k = 0; k < JOBS; k++) {
        struct known_job *j = &jobs[1 + (from + k) % JOBS];

        if (!j->at[0]) continue;
        *id = j->at[1] && rnd(2) ? j->at[1] : j->at[0];
        return j;
    }
    return NULL;
}

static void change_done(void)
{
    int64_t id;
    struct known_job *j = a_held_job(&id);
    int64_t job_id = j ? j - jobs : 0;
    const struct schedule_decision *d;
    size_t n;

    if (!j) return;
    let_go(j, id);
    j->is_known = false;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_DONE,
                                                  .id = id,
                                                  .job_id = job_id,
                                                  .prompt_tokens = j->w.prompt_tokens,
                                                  .output_tokens = 1 + (int32_t)rnd(300)}),
                     ERR_OK);
    d = schedule_decisions(s, &n);
    if (j->at[0]) ck_assert(n && d[0].verdict == DECIDE_STOP && d[0].job_id == job_id);
}

static void change_back(void)
{
    int64_t id;
    struct known_job *j = a_held_job(&id);
    int64_t job_id = j ? j - jobs : 0;
    bool ready = rnd(3) > 0;

    if (!j) return;
    let_go(j, id);
    if (!j->at[0]) {
        if (ready && !j->leaves_pool)
            j->is_pooled = true;
        else
            *j = (struct known_job){0};
    }
    ck_assert_int_eq(tell((struct schedule_event){
                         .kind = EVENT_BACK, .id = id, .job_id = job_id, .ready = ready}),
                     ERR_OK);
}

static void change_backlog(void)
{
    ck_assert_int_eq(
        tell((struct schedule_event){.kind = EVENT_BACKLOG, .rows = rnd(2) ? 0 : rnd(1000)}),
        ERR_OK);
}

static void change_time(void)
{
    now_s += 0.5;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_TICK}), ERR_OK);
}

static void (*const CHANGES[])(void) = {change_ready, change_ready, change_ready,  change_ready,
                                        change_here,  change_ask,   change_ask,    change_beat,
                                        change_done,  change_done,  change_back,   change_unready,
                                        change_gone,  change_time,  change_backlog};

static uint64_t play(enum schedule_policy p, uint64_t seed)
{
    struct schedule_opts o = {.policy = p, .horizon_s = 1, .pool_rows = 100};
    struct errmsg e;

    memset(jobs, 0, sizeof jobs);
    memset(instances, 0, sizeof instances);
    policy = p;
    state = seed;
    digest = 0;
    now_s = 1000;
    ck_assert_int_eq(schedule_open(&s, &o, &e), ERR_OK);
    for (int k = 0; k < EVENTS; k++) {
        now_s += rnd(100) / 1000.0;
        CHANGES[rnd(sizeof CHANGES / sizeof CHANGES[0])]();
        read_decisions();
    }
    schedule_close(&s);
    return digest;
}

START_TEST(invariants_hold_after_every_event)
{
    for (uint64_t seed = 1; seed <= (uint64_t)test_rounds(2, 100); seed++)
        play((enum schedule_policy)_i, seed);
}
END_TEST

START_TEST(the_same_events_give_the_same_decisions)
{
    uint64_t first = play((enum schedule_policy)_i, 77);

    ck_assert_uint_eq(play((enum schedule_policy)_i, 77), first); /* S6 */
    ck_assert_uint_ne(play((enum schedule_policy)_i, 78), first);
}
END_TEST

/* Jobs of batch b are b * 10000 and on. */
static void put_batch(int64_t b, int n)
{
    for (int k = 0; k < n; k++) {
        struct schedule_job w = {.id = b * 10000 + k,
                                 .batch = b,
                                 .model = 1,
                                 .prompt_tokens = 20 + (int32_t)rnd(400),
                                 .max_tokens = 50 + (int32_t)rnd(100),
                                 .output_tokens = -1};

        ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_READY, .job = &w}), ERR_OK);
    }
}

struct shares {
    double given[4], most; /* by batch; the largest job's */
    int left[4], n_held;
    int64_t job[4000], at[4000]; /* held */
};

/* S4: after each grant the batches are within a job of each other. */
static void count_grants(struct shares *x)
{
    const struct schedule_decision *d;
    double *g = x->given;
    size_t n;

    d = schedule_decisions(s, &n);
    for (size_t i = 0; i < n && x->left[1] && x->left[2] && x->left[3]; i++) {
        int b = (int)(d[i].job_id / 10000);

        g[b] += d[i].seconds;
        x->left[b]--;
        if (d[i].seconds > x->most) x->most = d[i].seconds;
        MUST(g[1] - g[2] <= x->most && g[2] - g[1] <= x->most);
        MUST(g[1] - g[3] <= x->most && g[3] - g[1] <= x->most);
        x->job[x->n_held] = d[i].job_id;
        x->at[x->n_held++] = d[i].instance;
    }
}

START_TEST(batches_are_given_alike_whatever_their_sizes)
{
    static const int SIZES[] = {0, 2000, 300, 900};
    static struct shares x;
    struct schedule_opts o = {.policy = POLICY_SIZED, .no_tail = true};
    struct schedule_instance is = {
        .model = 1, .perf = {.kw = 10, .k1 = 0.05}, .kv_tokens = 50000, .max_num_seqs = 64};
    struct errmsg e;

    state = 9;
    ck_assert_int_eq(schedule_open(&s, &o, &e), ERR_OK);
    for (is.id = 1; is.id <= 3; is.id++, is.perf.kw *= 3)
        ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &is}),
                         ERR_OK);
    for (int b = 1; b <= 3; b++)
        put_batch(b, x.left[b] = SIZES[b]);
    for (int k = 0; x.left[1] && x.left[2] && x.left[3]; k++) {
        ck_assert_int_eq(
            tell((struct schedule_event){
                .kind = EVENT_ASK, .id = 1 + rnd(3), .rows = 1 + rnd(5), .tokens = 1 << 20}),
            ERR_OK);
        count_grants(&x);
        while (x.n_held > 40) {
            x.n_held--;
            ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_DONE,
                                                          .id = x.at[x.n_held],
                                                          .job_id = x.job[x.n_held],
                                                          .output_tokens = 60}),
                             ERR_OK);
            count_grants(&x);
        }
        ck_assert_int_lt(k, 100000);
    }
    schedule_close(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *x = suite_create("schedule_random");
    TCase *t = tcase_create("schedule_random");

    tcase_add_loop_test(t, invariants_hold_after_every_event, 0, POLICY_N);
    tcase_add_loop_test(t, the_same_events_give_the_same_decisions, 0, POLICY_N);
    tcase_add_test(t, batches_are_given_alike_whatever_their_sizes);
    suite_add_tcase(x, t);
    return x;
}

TEST_MAIN(suite)
