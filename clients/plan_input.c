/* plan_input.c - what a plan is made from, beside the rows. */
#include "clients/plan_input.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/dbfile.h"
#include "worker/estimate.h"
#include "worker/place.h"

/* --- the model -------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum dtype dtype;
} WORDS[] = {{"float32", DTYPE_F32}, {"float16", DTYPE_F16}, {"bfloat16", DTYPE_BF16},
             {"f32", DTYPE_F32},     {"f16", DTYPE_F16},     {"bf16", DTYPE_BF16},
             {"fp8", DTYPE_FP8},     {"int8", DTYPE_INT8}};

static bool find_word(enum dtype *out, const char *word, size_t len)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strlen(WORDS[i].word) == len && !memcmp(word, WORDS[i].word, len)) {
            *out = WORDS[i].dtype;
            return true;
        }
    return false;
}

/* Adds one that is not there. */
static void add(enum dtype *list, int *n, int most, enum dtype d)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == d) return;
    if (*n < most) list[(*n)++] = d;
}

/* "auto,fp8": the words of a list. */
static int read_dtypes(enum dtype *list, int *n, int most, const char *flag, const char *words,
                       enum dtype automatic, const char *known, struct errmsg *e)
{
    for (const char *at = words; *at; at += strcspn(at, ","), at += *at == ',') {
        const size_t len = strcspn(at, ",");
        enum dtype d;

        if (len == 4 && !memcmp(at, "auto", 4))
            add(list, n, most, automatic);
        else if (find_word(&d, at, len))
            add(list, n, most, d);
        else
            return err_set(e, ERR_ARG, "%s: '%.*s' is not %s", flag, (int)len, at, known);
    }
    return *n ? ERR_OK : err_set(e, ERR_ARG, "%s names no dtype", flag);
}

/* What a worker would take for KV by itself; the host's f16 and a card's bf16 are of one size. */
static enum dtype auto_kv(const struct plan_input *in)
{
    bool cards = false;

    for (int m = 0; m < in->cluster->n_machines; m++)
        for (int d = 0; d < in->cluster->machines[m].n_devices; d++)
            cards = cards || in->cluster->machines[m].devices[d].card;
    if (in->stored == DTYPE_F32) return DTYPE_F32;
    return cards && in->stored != DTYPE_F16 ? DTYPE_BF16 : DTYPE_F16;
}

/* With the cluster known. */
static int describe_model(struct plan_input *in, const struct plan_input_opts *o, struct errmsg *e)
{
    struct plan_model *m = &in->model;
    int rc = read_dtypes(m->dtypes, &m->n_dtypes, 8, "--dtype", o->dtypes, in->stored,
                         "auto, f32, f16, bf16, fp8 or int8", e);

    if (!rc)
        rc = read_dtypes(m->kv_dtypes, &m->n_kv_dtypes, 4, "--kv-cache-dtype", o->kv_dtypes,
                         auto_kv(in), "auto, f32, f16, bf16 or fp8", e);
    for (int i = 0; i < m->n_kv_dtypes && !rc; i++)
        if (!dtype_is_float(m->kv_dtypes[i]) && m->kv_dtypes[i] != DTYPE_FP8)
            rc = err_set(e, ERR_ARG, "--kv-cache-dtype: KV is not stored in %s",
                         dtype_name(m->kv_dtypes[i]));
    if (rc) return rc;
    m->name = in->name;
    m->max_num_seqs = o->max_num_seqs;
    m->max_batched_tokens = o->max_batched_tokens;
    m->shape = estimate_shape_of(&in->config, in->stored, m->kv_dtypes[0]);
    m->shape.max_len = in->max_len;
    return ERR_OK;
}

static int open_model(struct plan_input *in, const struct plan_input_opts *o, struct errmsg *e)
{
    int rc = model_name(in->name, o->model, e);

    if (!rc) rc = model_config(&in->config, &in->stored, o->model, e);
    if (!rc) rc = model_tokenizer(&in->tokenizer, o->model, e);
    if (rc) return rc;
    if (model_chat(&in->chat, o->model, &in->why_no_chat)) in->chat = NULL;
    in->max_len = in->config.max_positions;
    if (o->max_model_len > in->max_len)
        return err_set(e, ERR_ARG, "--max-model-len is %d, and the model's limit is %d",
                       o->max_model_len, in->max_len);
    if (o->max_model_len) in->max_len = o->max_model_len;
    return ERR_OK;
}

struct prompt_source plan_input_source(const struct plan_input *in)
{
    return (struct prompt_source){in->name, in->tokenizer, in->chat, in->why_no_chat.text};
}

/* --- the machines ----------------------------------------------------------------------------- */

static int add_machine(struct plan_input *in, const char *name, const struct machine *m, double usd,
                       struct errmsg *e)
{
    struct plan_cluster *c = in->cluster;
    struct plan_machine *to = &c->machines[c->n_machines];
    int rc;

    if (c->n_machines == PLAN_MACHINES)
        return err_set(e, ERR_FULL, "more than %d nodes are here: a plan is for so many",
                       PLAN_MACHINES);
    if ((rc = machine_plan(m, to, e))) return rc;
    snprintf(to->name, sizeof to->name, "%s", name);
    snprintf(in->hosts[c->n_machines], sizeof in->hosts[0], "%s", m->host);
    to->usd_per_hour = usd;
    for (int i = 0; i < m->n_devices; i++)
        strcpy(in->devices[c->n_machines][i], m->devices[i].device);
    c->n_machines++;
    return ERR_OK;
}

static void copy_at(sqlite3_stmt *st, int i, char *out, size_t cap)
{
    const char *text = (const char *)sqlite3_column_text(st, i);

    snprintf(out, cap, "%s", text ? text : "");
}

static int add_node(struct plan_input *in, sqlite3_stmt *st, struct errmsg *e)
{
    struct machine m = {0};
    struct errmsg why;
    char name[64];
    int rc;

    copy_at(st, 0, name, sizeof name);
    copy_at(st, 1, m.host, sizeof m.host);
    rc = machine_devices_parse(&m, (const char *)sqlite3_column_text(st, 2), &why);
    if (!rc && m.n_devices) rc = add_machine(in, name, &m, sqlite3_column_double(st, 3), &why);
    return rc ? err_set(e, rc, "node %s: %.400s", name, why.text) : ERR_OK;
}

/* Those that are here; it is no error that none is. */
static int read_nodes(struct plan_input *in, sqlite3 *db, const char *path, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = ERR_OK;

    if (sqlite3_prepare_v2(db,
                           "SELECT name, host, devices, usd_per_hour FROM node WHERE state='here'"
                           " ORDER BY node_id",
                           -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "nodes");
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW)
        rc = add_node(in, st, e);
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "nodes");
    sqlite3_finalize(st);
    snprintf(in->from, sizeof in->from, "the nodes of %.100s", path);
    return rc;
}

static int read_file(struct plan_input *in, const char *path, struct errmsg *e)
{
    int rc;

    free(in->cluster);
    in->cluster = NULL;
    if ((rc = plan_cluster_read(&in->cluster, path, e))) return rc;
    for (int m = 0; m < in->cluster->n_machines; m++)
        for (int d = 0; d < in->cluster->machines[m].n_devices; d++)
            if (in->cluster->machines[m].devices[d].card)
                snprintf(in->devices[m][d], sizeof in->devices[m][d], "cuda:%d", d);
            else
                strcpy(in->devices[m][d], "cpu");
    snprintf(in->from, sizeof in->from, "%.127s", path);
    return ERR_OK;
}

static int find_machines(struct plan_input *in, const struct plan_input_opts *o, sqlite3 *db,
                         struct errmsg *e)
{
    struct machine own;
    int rc = ERR_OK;

    if (!(in->cluster = calloc(1, sizeof *in->cluster)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (o->cluster) return read_file(in, o->cluster, e);
    if (db) rc = read_nodes(in, db, o->db, e);
    if (rc || in->cluster->n_machines) return rc;
    snprintf(in->from, sizeof in->from, "this machine");
    rc = machine_look(&own, NULL, e);
    return rc ? rc : add_machine(in, own.host, &own, 0, e);
}

void plan_input_devices(const struct plan_input *in, const struct plan_instance *i, char out[64])
{
    size_t n = 0;

    *out = '\0';
    for (int d = 0; d < PLAN_DEVICES; d++) {
        const char *word = in->devices[i->machine][d], *index = strchr(word, ':');

        if (!(i->devices & 1u << d)) continue;
        n += (size_t)snprintf(out + n, 64 - n, "%s%s", n ? "," : "", n && index ? index + 1 : word);
    }
}

/* --- profiles --------------------------------------------------------------------------------- */

static enum dtype dtype_named(const char *name)
{
    for (int d = 0; d < N_DTYPES; d++)
        if (!strcmp(name, dtype_name((enum dtype)d))) return (enum dtype)d;
    return N_DTYPES;
}

/* What the search calls the device that a host's worker says it is on; NULL: not in the cluster. */
static const char *device_named(const struct plan_input *in, const char *host, const char *device)
{
    const size_t first = strcspn(device, ", "); /* of "cuda:0,1", "cuda:0 (66 SMs)" */

    if (strchr(device, '(')) return NULL; /* a part of a card */
    for (int m = 0; m < in->cluster->n_machines; m++)
        for (int d = 0; d < in->cluster->machines[m].n_devices && !strcmp(in->hosts[m], host); d++)
            if (strlen(in->devices[m][d]) == first && !memcmp(in->devices[m][d], device, first))
                return in->cluster->machines[m].devices[d].name;
    return NULL;
}

/* A step that reads KV in one 16-bit dtype is as long as in the other. */
static enum dtype planned_kv(const struct plan_model *m, enum dtype kv)
{
    for (int i = 0; i < m->n_kv_dtypes; i++)
        if (m->kv_dtypes[i] == kv) return kv;
    for (int i = 0; i < m->n_kv_dtypes && (kv == DTYPE_F16 || kv == DTYPE_BF16); i++)
        if (m->kv_dtypes[i] == DTYPE_F16 || m->kv_dtypes[i] == DTYPE_BF16) return m->kv_dtypes[i];
    return kv;
}

static void take_profile(struct plan_input *in, sqlite3_stmt *st)
{
    struct plan_profile *p = &in->profiles[in->n_profiles];
    char host[64], device[64], dtype[16], kv_dtype[16];
    const char *name;

    copy_at(st, 0, host, sizeof host);
    copy_at(st, 1, device, sizeof device);
    copy_at(st, 2, dtype, sizeof dtype);
    copy_at(st, 3, kv_dtype, sizeof kv_dtype);
    if (in->n_profiles == PLAN_INPUT_PROFILES || !(name = device_named(in, host, device))) return;
    *p = (struct plan_profile){
        .device = in->profile_devices[in->n_profiles],
        .tp = sqlite3_column_int(st, 4) > 1 ? sqlite3_column_int(st, 4) : 1,
        .dtype = dtype_named(dtype),
        .kv_dtype = dtype_named(kv_dtype),
        .perf = {sqlite3_column_double(st, 5), sqlite3_column_double(st, 6),
                 sqlite3_column_double(st, 7), sqlite3_column_double(st, 8),
                 sqlite3_column_double(st, 9), sqlite3_column_double(st, 10)},
        .mape = sqlite3_column_type(st, 11) == SQLITE_NULL ? -1 : sqlite3_column_double(st, 11)};
    p->kv_dtype = planned_kv(&in->model, p->kv_dtype);
    strcpy(in->profile_devices[in->n_profiles++], name);
}

/* The latest ones first: of one kind the first is taken. */
static int read_profiles(struct plan_input *in, sqlite3 *db, struct errmsg *e)
{
    static const char SQL[] =
        "SELECT i.host, i.device, i.dtype, i.kv_dtype, i.tp, f.k0, f.kw, f.k1, f.k2, f.k3, f.k4,"
        " ifnull(f.held_out_mape, f.mape) FROM instance_profile f JOIN instance i"
        " USING (instance_id) WHERE i.model=?1 AND f.source IN ('measured', 'mixed')"
        " ORDER BY f.at_ms DESC, i.instance_id DESC LIMIT 1000";
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE;

    if (sqlite3_prepare_v2(db, SQL, -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "profiles");
    sqlite3_bind_text(st, 1, in->name, -1, SQLITE_STATIC);
    while ((step = sqlite3_step(st)) == SQLITE_ROW)
        take_profile(in, st);
    sqlite3_finalize(st);
    return step == SQLITE_DONE ? ERR_OK : dbfile_error(db, e, "profiles");
}

/* --- all of it -------------------------------------------------------------------------------- */

/* The queue file, where it is one that knows of nodes; NULL: it is not there. */
static int open_db(sqlite3 **db, const char *path, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc;

    if (access(path, F_OK)) return ERR_OK;
    if ((rc = dbfile_open_read(db, path, e))) return rc;
    if (sqlite3_prepare_v2(*db, "SELECT 1 FROM node", -1, &st, NULL) != SQLITE_OK) {
        sqlite3_close(*db); /* of an earlier version, until its broker starts */
        *db = NULL;
    }
    sqlite3_finalize(st);
    return ERR_OK;
}

int plan_input_open(struct plan_input *in, const struct plan_input_opts *o, struct errmsg *e)
{
    sqlite3 *db = NULL;
    int rc = open_model(in, o, e);

    if (!rc) rc = open_db(&db, o->db, e);
    if (!rc) rc = find_machines(in, o, db, e);
    if (!rc) rc = describe_model(in, o, e);
    if (!rc && db) rc = read_profiles(in, db, e);
    sqlite3_close(db);
    return rc;
}

void plan_input_fini(struct plan_input *in)
{
    tokenizer_close(&in->tokenizer);
    chat_close(&in->chat);
    free(in->cluster);
    in->cluster = NULL;
}
