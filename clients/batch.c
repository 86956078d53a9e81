/* batch.c - a batch at the broker. */
#include "clients/batch.h"

#include <stdio.h>
#include <string.h>

#include "clients/when.h"

#define ANSWER_MS 120000 /* a full disk holds answers back; then say so */

enum shown { NUMBER, TIME, MINUTE };

static const struct key {
    const char *name, *people;
    size_t at; /* in struct batch_wish */
    enum shown shown;
} KEYS[] = {
#define KEY(field, people, shown)                                                                  \
    {                                                                                              \
#field, people, offsetof(struct batch_wish, field), shown                                  \
    }
    KEY(priority, "priority", NUMBER),
    KEY(max_attempts, "max-attempts", NUMBER),
    KEY(not_before_ms, "not-before", TIME),
    KEY(deadline_ms, "deadline", TIME),
    KEY(window_from, "window from", MINUTE),
    KEY(window_to, "window to", MINUTE),
    KEY(reuse, "reuse", NUMBER),
#undef KEY
};
#define N_KEYS (sizeof KEYS / sizeof KEYS[0])

static int64_t asked(const struct batch_wish *w, const struct key *k)
{
    int64_t v;

    memcpy(&v, (const char *)w + k->at, sizeof v);
    return v;
}

static int ask(struct client *c, const char *name, const struct batch_wish *w, struct errmsg *e)
{
    struct wire_out o;
    int n = 1 + (w->model != NULL);

    for (size_t i = 0; i < N_KEYS; i++)
        n += asked(w, &KEYS[i]) != BATCH_UNSAID;
    wire_begin(&o, n);
    wire_put_str(&o, "name", name);
    if (w->model) wire_put_str(&o, "model", w->model);
    for (size_t i = 0; i < N_KEYS; i++)
        if (asked(w, &KEYS[i]) != BATCH_UNSAID) wire_put_int(&o, KEYS[i].name, asked(w, &KEYS[i]));
    return client_ask(c, WIRE_BATCH, &o, e);
}

static void show(const struct key *k, int64_t v, char out[32])
{
    if (k->shown == NUMBER)
        snprintf(out, 32, "%lld", (long long)v);
    else if (k->shown == TIME && v)
        when_show(v, out);
    else if (k->shown == MINUTE && v >= 0)
        snprintf(out, 32, "%02d:%02d", (int)(v / 60 % 24), (int)(v % 60));
    else
        snprintf(out, 32, "none");
}

/* Adds "priority 0 (not 5)". */
static void add_difference(struct batch_found *f, const char *what, const char *has,
                           const char *wish)
{
    size_t n = strlen(f->keeps);

    snprintf(f->keeps + n, sizeof f->keeps - n, "%s%s %s (not %s)", n ? ", " : "", what,
             *has ? has : "any", *wish ? wish : "any");
}

static void compare(struct batch_found *f, const struct batch_wish *w, const msgpack_object *map)
{
    char model[256], has[32], wish[32];

    wire_copy(map, "model", model, sizeof model);
    if (w->model && wire_get(map, "model") && strcmp(w->model, model) != 0)
        add_difference(f, "model", model, w->model);
    for (size_t i = 0; i < N_KEYS; i++) {
        int64_t v = wire_int(map, KEYS[i].name, BATCH_UNSAID), own = asked(w, &KEYS[i]);

        if (own == BATCH_UNSAID || v == BATCH_UNSAID || v == own) continue;
        show(&KEYS[i], v, has);
        show(&KEYS[i], own, wish);
        add_difference(f, KEYS[i].people, has, wish);
    }
}

int batch_ask(struct client *c, const char *name, const struct batch_wish *w, struct batch_found *f,
              struct errmsg *e)
{
    struct wire_msg m;
    int rc;

    memset(f, 0, sizeof *f);
    if ((rc = ask(c, name, w, e))) return rc;
    if ((rc = client_hear(c, WIRE_BATCH_OK, &m, ANSWER_MS, e))) return rc;
    f->id = wire_int(&m.map, "batch", 0);
    f->existed = wire_int(&m.map, "existed", 0);
    if (f->existed) compare(f, w, &m.map);
    wire_msg_fini(&m);
    return ERR_OK;
}
