/* group.c - rows on their way to the broker. */
#include "clients/group.h"

#include <stdlib.h>
#include <string.h>

#include "clients/prefix.h"

#define IN_FLIGHT   3                      /* groups sent and not yet acked */
#define GROUP_ROWS  16384                  /* at most */
#define GROUP_BYTES (4 * WIRE_GROUP_BYTES) /* about: larger commits make random ids cheaper */
#define ACK_MS      120000                 /* a full disk holds acks back; then say so */

/* A row whose prefix group is still to be decided. */
struct undecided {
    size_t at; /* where the group stands in the message */
    struct prefix_keys keys;
};

struct group {
    struct client *client;
    struct group_counts *counts;
    int64_t batch_id;
    bool replace;
    struct wire_out rows; /* of the next message, without their array's head */
    uint32_t n_rows;
    struct undecided *undecided; /* [GROUP_ROWS] */
    size_t n_undecided;
    struct prefix *prefix;
    int in_flight;
};

static void begin(struct group *g)
{
    wire_begin_part(&g->rows);
    g->n_rows = 0;
    g->n_undecided = 0;
}

int group_open(struct group **out, struct client *c, int64_t batch_id, bool replace,
               struct group_counts *counts, struct errmsg *e)
{
    struct group *g = calloc(1, sizeof *g);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!g) goto out;
    begin(g);
    g->client = c;
    g->batch_id = batch_id;
    g->replace = replace;
    g->counts = counts;
    g->undecided = malloc(GROUP_ROWS * sizeof *g->undecided);
    if (!g->undecided || prefix_open(&g->prefix)) goto out;
    *out = g;
    g = NULL;
    rc = ERR_OK;
out:
    group_close(&g);
    return rc ? err_set(e, rc, "out of memory") : rc;
}

void group_close(struct group **g)
{
    if (!*g) return;
    wire_fini(&(*g)->rows);
    prefix_close(&(*g)->prefix);
    free((*g)->undecided);
    free(*g);
    *g = NULL;
}

static int hear_one(struct group *g, struct errmsg *e)
{
    struct group_counts *n = g->counts;
    struct wire_msg m;
    int rc = client_hear(g->client, WIRE_ROWS_OK, &m, ACK_MS, e);

    if (rc) return rc;
    g->in_flight--;
    n->added += wire_int(&m.map, "added", 0);
    n->same += wire_int(&m.map, "same", 0);
    n->differs += wire_int(&m.map, "differs", 0);
    n->replaced += wire_int(&m.map, "replaced", 0);
    n->mended += wire_int(&m.map, "mended", 0);
    n->reused += wire_int(&m.map, "reused", 0);
    wire_msg_fini(&m);
    return ERR_OK;
}

/* Two rounds: the rows of one message know of each other in both directions. */
static void decide(struct group *g)
{
    for (size_t i = 0; i < g->n_undecided; i++)
        prefix_note(g->prefix, &g->undecided[i].keys);
    for (size_t i = 0; i < g->n_undecided; i++)
        wire_fill(&g->rows, g->undecided[i].at, prefix_group(g->prefix, &g->undecided[i].keys));
}

static int send_rows(struct group *g, struct errmsg *e)
{
    struct wire_out o;
    int rc;

    if (!g->n_rows) return ERR_OK;
    while (g->in_flight >= IN_FLIGHT)
        if ((rc = hear_one(g, e))) return rc;
    decide(g);
    wire_begin(&o, 3);
    wire_put_int(&o, "batch", g->batch_id);
    wire_put_int(&o, "replace", g->replace);
    wire_put_array(&o, "rows", g->n_rows);
    wire_add_part(&o, g->rows.buf.data, g->rows.buf.size);
    o.failed |= g->rows.failed;
    wire_fini(&g->rows);
    begin(g);
    if ((rc = client_ask(g->client, WIRE_ROWS, &o, e))) return rc;
    g->in_flight++;
    return ERR_OK;
}

static void add_text(struct group *g, const char *text)
{
    wire_add_str(&g->rows, text, strlen(text));
}

/* The row's prefix group: 0 until `decide` has seen them all. */
static void add_prefix(struct group *g, const struct group_row *r)
{
    struct undecided *u = &g->undecided[g->n_undecided];

    u->at = wire_add_hole(&g->rows);
    if (r->bad) return;
    prefix_read(g->prefix, r->endpoint, r->body, r->body_len, &u->keys);
    if (u->keys.n) g->n_undecided++;
}

int group_add(struct group *g, const struct group_row *r, struct errmsg *e)
{
    wire_add_array(&g->rows, 10);
    wire_add_str(&g->rows, r->id, r->id_len);
    wire_add_int(&g->rows, r->line);
    wire_add_int(&g->rows, (int64_t)r->endpoint);
    wire_add_bin(&g->rows, r->body, r->body_len);
    add_text(g, r->bad ? r->bad->code : "");
    add_text(g, r->bad ? r->bad->message : "");
    add_text(g, r->bad ? r->bad->param : "");
    if (r->has_priority)
        wire_add_int(&g->rows, r->priority);
    else
        wire_add_nil(&g->rows);
    add_prefix(g, r);
    wire_add_int(&g->rows, r->is_fixed);
    g->n_rows++;
    return g->n_rows >= GROUP_ROWS || g->rows.buf.size >= GROUP_BYTES ? send_rows(g, e) : ERR_OK;
}

int group_finish(struct group *g, struct errmsg *e)
{
    int rc = send_rows(g, e);

    while (!rc && g->in_flight > 0)
        rc = hear_one(g, e);
    return rc;
}
