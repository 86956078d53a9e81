/* plan.c - nightmill plan: what a file or a batch would take, and on what it is best run.
 *
 * A dry run: every row is read and tokenised, the cluster is searched, nothing runs.  With --save
 * the plan becomes the one that nightmill node puts to work.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/dbfile.h"
#include "clients/broker_flags.h"
#include "clients/command.h"
#include "clients/plan_print.h"
#include "clients/terminal.h"

#define PING_MS 2000
#define SAVE_MS 60000

struct config {
    const char *model, *input, *batch, *cluster, *dtypes, *kv_dtypes, *format, *like;
    int64_t max_num_seqs, max_batched_tokens, max_model_len, default_max_tokens, output_tokens,
        max_body_bytes;
    bool json, save, drop;
    struct broker_flags broker;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL",
     "a model directory or a .gguf file; of a directory only config.json and the tokenizer are "
     "needed",
     OPT_STR, AT(model), 0, 0},
    {"input", 'i', "FILE|-", "the prompts, a JSON object a line", OPT_STR, AT(input), 0, 0},
    {"batch", 'b', "NAME", "the open rows of a batch of --db, instead of a file", OPT_STR,
     AT(batch), 0, 0},
    {"cluster", 'c', "FILE",
     "the machines, as JSON (default: the nodes that are here by --db, or this machine)", OPT_STR,
     AT(cluster), 0, 0},
    {"dtype", 0, "LIST",
     "of weights, what may be tried: auto, float32, float16, bfloat16, fp8, int8 (default auto: as "
     "they are stored)",
     OPT_STR, AT(dtypes), 0, 0},
    {"kv-cache-dtype", 0, "LIST",
     "of KV blocks, what may be tried: auto, f32, f16, bf16, fp8 (default auto: as a worker would)",
     OPT_STR, AT(kv_dtypes), 0, 0},
    {"max-num-seqs", 0, "N", "sequences in one step, as the workers will have it (default 64)",
     OPT_INT, AT(max_num_seqs), 1, 4096},
    {"max-num-batched-tokens", 0, "N", "tokens in one step, likewise (default 512)", OPT_INT,
     AT(max_batched_tokens), 1, 1048576},
    {"max-model-len", 0, "N", "tokens of prompt and answer at most (default: the model's)", OPT_INT,
     AT(max_model_len), 0, 1 << 24},
    {"default-max-tokens", 0, "N", "for a chat that does not say", OPT_INT, AT(default_max_tokens),
     0, 1 << 24},
    {"output-tokens", 0, "N", "each answer is expected to have so many, or its max_tokens if less",
     OPT_INT, AT(output_tokens), 1, 1 << 24},
    {"like", 0, "BATCH", "answers are expected to be as long as those of a batch of --db", OPT_STR,
     AT(like), 0, 0},
    {"format", 'f', "jsonl|text", "jsonl (default), or one plain prompt a line", OPT_STR,
     AT(format), 0, 0},
    {"max-body-bytes", 0, "BYTES", "a longer line is a bad row (default 16M)", OPT_BYTES,
     AT(max_body_bytes), 1, 32 << 20},
    {"json", 0, NULL, "one JSON object instead of tables", OPT_FLAG, AT(json), 0, 0},
    {"save", 0, NULL, "make the best plan the active one: nightmill node puts it to work", OPT_FLAG,
     AT(save), 0, 0},
    {"drop", 0, NULL, "plan nothing: end the active plan, so that each node does as without one",
     OPT_FLAG, AT(drop), 0, 0},
    BROKER_OPTS(AT(broker)),
    {0}};
static const struct opt_command COMMAND = {
    "plan",
    "",
    "Tells what the rows of a file or a batch would take, and finds the instances that run them "
    "fastest on the machines that there are. Nothing runs.",
    OPTS,
    0,
    0};

/* All of one call. */
struct planning {
    const struct config *c;
    struct plan_input in;
    struct lengths *like;
    struct workload w;
    struct plan_workload cells;
    struct plan_answer answer;
    struct plan_told told;
};

static int check(const struct config *c, struct errmsg *e)
{
    if (c->drop && (c->save || c->input || c->batch))
        return err_set(e, ERR_ARG, "--drop plans nothing: --%s is not for it",
                       c->save    ? "save"
                       : c->input ? "input"
                                  : "batch");
    if (c->drop) return ERR_OK;
    if (!c->model) return err_set(e, ERR_ARG, "--model is missing: rows are tokens of a model");
    if (!c->input && !c->batch)
        return err_set(e, ERR_ARG, "--input or --batch is missing: a plan is for rows");
    if (c->input && c->batch)
        return err_set(e, ERR_ARG, "--input and --batch are both given: a plan is for one of them");
    if (c->like && c->output_tokens)
        return err_set(e, ERR_ARG, "--like and --output-tokens both say how long answers are");
    if (strcmp(c->format, "jsonl") && strcmp(c->format, "text"))
        return err_set(e, ERR_ARG, "--format is '%s', not jsonl or text", c->format);
    return ERR_OK;
}

/* --- the rows --------------------------------------------------------------------------------- */

/* What is known of the lengths of answers. */
static int find_answers(struct planning *p, struct errmsg *e)
{
    const struct config *c = p->c;
    const char *like = c->like ? c->like : c->output_tokens ? NULL : c->batch;
    int rc;

    snprintf(p->told.answers, sizeof p->told.answers, "as max_tokens says");
    if (c->output_tokens)
        snprintf(p->told.answers, sizeof p->told.answers, "at most %lld each",
                 (long long)c->output_tokens);
    if (!like) return ERR_OK;
    if ((rc = workload_finished(&p->like, c->broker.db, like, e))) return rc;
    if (p->like->rows < (c->like ? 1 : LENGTHS_ENOUGH)) {
        lengths_close(&p->like);
        return c->like ? err_set(e, ERR_EMPTY, "batch %s has no finished rows to be like", like)
                       : ERR_OK;
    }
    snprintf(p->told.answers, sizeof p->told.answers,
             "like those of the %lld finished rows of %.64s", (long long)p->like->rows, like);
    return ERR_OK;
}

static int take_rows(struct planning *p, int signals, struct errmsg *e)
{
    const struct config *c = p->c;
    const struct workload_opts o = {.source = plan_input_source(&p->in),
                                    .max_len = p->in.max_len,
                                    .default_max_tokens = c->default_max_tokens,
                                    .output_tokens = c->output_tokens,
                                    .like = p->like,
                                    .format = {.text = !strcmp(c->format, "text"),
                                               .text_endpoint = ENDPOINT_CHAT,
                                               .max_bytes = (size_t)c->max_body_bytes},
                                    .signals = signals};
    int rc = c->input ? workload_of_file(&p->w, c->input, &o, e)
                      : workload_of_batch(&p->w, c->broker.db, c->batch, &o, e);

    if (rc) return rc;
    if (!p->w.rows)
        return err_set(e, ERR_EMPTY, "%s holds no rows%s: there is nothing to plan",
                       p->told.rows_of, p->w.done ? " that are not finished" : "");
    if (!p->w.lengths->rows)
        return err_set(e, ERR_EMPTY, "all %lld rows of %s are bad; line %lld: %.300s",
                       (long long)p->w.rows, p->told.rows_of, (long long)p->w.first_bad_line,
                       p->w.first_bad);
    lengths_cells(p->w.lengths, &p->cells);
    if (p->w.lengths->prompt)
        p->cells.shared_prompt = (double)p->w.shared_tokens / (double)p->w.lengths->prompt;
    return ERR_OK;
}

/* --- the plan --------------------------------------------------------------------------------- */

static void put_instance(struct wire_out *o, const struct plan_input *in,
                         const struct plan_instance *i)
{
    char devices[64];

    plan_input_devices(in, i, devices);
    wire_add_map(o, 9);
    wire_put_str(o, "node", in->cluster->machines[i->machine].name);
    wire_put_str(o, "devices", devices);
    wire_put_int(o, "tp", i->tp);
    wire_put_str(o, "dtype", dtype_name(i->dtype));
    wire_put_str(o, "kv_dtype", dtype_name(i->kv_dtype));
    wire_put_int(o, "kv_tokens", i->kv_tokens);
    wire_put_float(o, "rows_per_s", i->rows_per_s);
    wire_put_str(o, "source", SOURCE_NAMES[i->source]);
    wire_put_float(o, "mape", i->mape);
}

/* p NULL: no plan is active any more.  *plan_id as the broker says. */
static int send_plan(struct client *c, const struct planning *p, const char *detail,
                     int64_t *plan_id, struct errmsg *e)
{
    const struct plan *best = p ? &p->answer.best : NULL;
    struct wire_msg m;
    struct wire_out o;
    int rc;

    wire_begin(&o, 7);
    wire_put_str(&o, "model", p ? p->in.name : "");
    wire_put_str(&o, "batch", p ? p->told.rows_of : "");
    wire_put_int(&o, "rows", p ? p->w.lengths->rows : 0);
    wire_put_float(&o, "seconds", p ? best->seconds : 0);
    wire_put_float(&o, "usd", p ? best->usd : 0);
    wire_put_str(&o, "detail", detail);
    wire_put_array(&o, "instances", p ? (size_t)best->n_instances : 0);
    for (int i = 0; p && i < best->n_instances; i++)
        put_instance(&o, &p->in, &best->instances[i]);
    if ((rc = client_ask(c, WIRE_PLAN, &o, e))) return rc;
    if ((rc = client_hear(c, WIRE_PLAN_OK, &m, SAVE_MS, e))) return rc;
    *plan_id = wire_int(&m.map, "plan", 0);
    wire_msg_fini(&m);
    return ERR_OK;
}

/* Machines of the plan for which no node is here, by the queue file; none where it is not. */
static void tell_absent(const struct planning *p)
{
    const struct plan *best = &p->answer.best;
    struct buf names = {0};
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    struct errmsg e;
    int last = -1;

    if (dbfile_open_read(&db, p->c->broker.db, &e)) return;
    if (sqlite3_prepare_v2(db, "SELECT 1 FROM node WHERE name=?1 AND state='here'", -1, &st,
                           NULL) == SQLITE_OK)
        for (int i = 0; i < best->n_instances; i++) {
            const int m = best->instances[i].machine;
            const char *name = p->in.cluster->machines[m].name;

            if (m == last) continue;
            last = m;
            sqlite3_reset(st);
            sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
            if (sqlite3_step(st) == SQLITE_DONE)
                buf_printf(&names, "%s%s", names.len ? ", " : "", name);
        }
    sqlite3_finalize(st);
    sqlite3_close(db);
    if (names.len)
        fprintf(stderr, "nightmill plan: no node of that name is here yet: %s\n", names.data);
    buf_fini(&names);
}

static int save(struct client *client, const struct planning *p, struct errmsg *e)
{
    json_t *o = p ? plan_json(&p->told) : NULL;
    char *detail = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    int64_t plan_id = 0;
    int rc = p && !detail ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;

    if (!rc) rc = send_plan(client, p, detail ? detail : "{}", &plan_id, e);
    if (!rc && p)
        fprintf(stderr, "nightmill plan: plan %lld is active: %d instance%s\n", (long long)plan_id,
                p->answer.best.n_instances, p->answer.best.n_instances == 1 ? "" : "s");
    if (!rc && !p) fprintf(stderr, "nightmill plan: no plan is active\n");
    if (!rc && p && !p->c->broker.broker) tell_absent(p);
    free(detail);
    json_decref(o);
    return rc;
}

static int print(const struct planning *p, struct errmsg *e)
{
    json_t *o = NULL;
    struct buf out = {0};
    int rc = ERR_OK;

    if (p->c->json) {
        o = plan_json(&p->told);
        if (!o || json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6))) rc = ERR_NOMEM;
        putchar('\n');
    } else if (!(rc = plan_print(&p->told, terminal_width(STDOUT_FILENO), &out))) {
        fwrite(out.data, 1, out.len, stdout);
    }
    json_decref(o);
    buf_fini(&out);
    return rc ? err_set(e, rc, "out of memory") : ERR_OK;
}

static int plan(struct planning *p, int signals, struct errmsg *e)
{
    const struct config *c = p->c;
    const char *slash = c->input ? strrchr(c->input, '/') : NULL;
    const struct plan_input_opts o = {.model = c->model,
                                      .dtypes = c->dtypes,
                                      .kv_dtypes = c->kv_dtypes,
                                      .max_num_seqs = (int)c->max_num_seqs,
                                      .max_batched_tokens = (int)c->max_batched_tokens,
                                      .max_model_len = (int)c->max_model_len,
                                      .cluster = c->cluster,
                                      .db = c->broker.db};
    int rc = plan_input_open(&p->in, &o, e);

    p->told.rows_of = c->batch ? c->batch : slash ? slash + 1 : c->input;
    if (!strcmp(p->told.rows_of, "-")) p->told.rows_of = "standard input";
    p->told.in = &p->in;
    p->told.w = &p->w;
    p->told.a = &p->answer;
    if (!rc) rc = find_answers(p, e);
    p->told.is_guessed = !c->output_tokens && !p->like;
    if (!rc) rc = take_rows(p, signals, e);
    if (!rc)
        rc = plan_search(&p->answer, p->in.cluster, &p->cells, &p->in.model, p->in.profiles,
                         p->in.n_profiles, e);
    if (!rc) rc = print(p, e);
    return rc;
}

int command_plan(int argc, char **argv)
{
    struct config c = {.broker = BROKER_FLAGS_DEFAULT,
                       .dtypes = "auto",
                       .kv_dtypes = "auto",
                       .format = "jsonl",
                       .max_num_seqs = 64,
                       .max_batched_tokens = PLAN_STEP_TOKENS,
                       .max_body_bytes = 16 << 20};
    struct errmsg e = {{0}};
    struct planning *p = calloc(1, sizeof *p);
    struct client *client = NULL;
    int signals = -1, rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);
    bool is_whole = true;

    if (!p) return EXIT_ENVIRONMENT;
    p->c = &c;
    if (!rc) rc = check(&c, &e);
    if (!rc && (signals = command_signals(&e)) < 0) rc = ERR_IO;
    /* First of all: it would be a pity to find out later that nobody is there. */
    if (!rc && (c.drop || c.save)) rc = broker_flags_connect(&c.broker, PING_MS, &client, &e);
    if (!rc && !c.drop) rc = plan(p, signals, &e);
    if (!rc && client) rc = save(client, c.drop ? NULL : p, &e);
    is_whole = !p->w.bad_rows && !p->answer.best.rows_nowhere;
    client_close(&client);
    plan_answer_fini(&p->answer);
    workload_fini(&p->w);
    lengths_close(&p->like);
    plan_input_fini(&p->in);
    if (signals >= 0) close(signals);
    free(p);
    if (rc) return command_fail("plan", rc, &e);
    return is_whole ? EXIT_ALL_DONE : EXIT_SOME_FAILED;
}
