/* plan_cluster.c - the file that says which machines there are (docs/cluster.md). */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/plan.h"

#define MAX_BYTES ((off_t)1 << 20)
#define GIGA      1e9
#define GIB       1073741824.0
#define CPU_LAYER 5e-6 /* s: starting the threads for a layer */
#define CLOSE     3    /* names that are told for one that is not known */

/* --- values ----------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    char where[96]; /* "machine lab" */
    struct errmsg *e;
};

static int refuse(const struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(const struct reader *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, ERR_FORMAT, "%s: %s%s%s", r->path, r->where, *r->where ? ": " : "", text);
}

/* A number of a key; what is not there stays as it is. */
static int read_number(const struct reader *r, const json_t *o, const char *key, double lo,
                       double hi, double *out)
{
    const json_t *v = json_object_get(o, key);

    if (!v) return ERR_OK;
    if (!json_is_number(v)) return refuse(r, "%s is not a number from %g to %g", key, lo, hi);
    if (json_number_value(v) < lo || json_number_value(v) > hi)
        return refuse(r, "%s is %g, not a number from %g to %g", key, json_number_value(v), lo, hi);
    *out = json_number_value(v);
    return ERR_OK;
}

static int read_count(const struct reader *r, const json_t *o, const char *key, int hi, int *out)
{
    const json_t *v = json_object_get(o, key);

    if (!v) return ERR_OK;
    if (!json_is_number(v)) return refuse(r, "%s is not an integer from 1 to %d", key, hi);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > hi)
        return refuse(r, "%s is %.15g, not an integer from 1 to %d", key, json_number_value(v), hi);
    *out = (int)json_integer_value(v);
    return ERR_OK;
}

static int check_keys(const struct reader *r, const json_t *o, const char *const *keys)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)o, key, v)
    {
        int i = 0;

        while (keys[i] && strcmp(keys[i], key))
            i++;
        if (!keys[i]) return refuse(r, "%s is no key here", key);
    }
    return ERR_OK;
}

/* --- cards ------------------------------------------------------------------------------------ */

/* The longest run of letters and digits that two names share. */
static int likeness(const char *a, const char *b)
{
    int most = 0;

    for (int i = 0; a[i]; i++)
        for (int k = 0; b[k]; k++) {
            int n = 0;

            while (isalnum((unsigned char)a[i + n]) &&
                   tolower((unsigned char)a[i + n]) == tolower((unsigned char)b[k + n]))
                n++;
            if (n > most) most = n;
        }
    return most;
}

static int refuse_card(const struct reader *r, const char *name)
{
    char names[256] = "";
    size_t len = 0;
    int told = 0, most = 0;
    const struct card *c;

    for (size_t i = 0; (c = card_at(i)); i++)
        if (likeness(name, c->name) > most) most = likeness(name, c->name);
    for (size_t i = 0; most > 1 && told < CLOSE && (c = card_at(i)); i++)
        if (likeness(name, c->name) == most)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", told++ ? ", " : "",
                                    c->name);
    return refuse(r, "\"%.60s\" is not one card that is known%s%s", name,
                  told ? "; close to it: " : "", names);
}

static int put_card(const struct reader *r, struct plan_machine *m, const json_t *v)
{
    struct plan_device *d = &m->devices[m->n_devices];

    if (!json_is_string(v)) return refuse(r, "a card is not a text");
    if (m->n_devices == PLAN_DEVICES) return refuse(r, "more than %d devices", PLAN_DEVICES);
    if (!(d->card = card_find(json_string_value(v)))) return refuse_card(r, json_string_value(v));
    snprintf(d->name, sizeof d->name, "%s", d->card->name);
    d->bytes = d->card->bytes;
    d->speed = card_speed(d->card, N_DTYPES);
    m->n_devices++;
    return ERR_OK;
}

static int read_cards(const struct reader *r, struct plan_machine *m, const json_t *o)
{
    const json_t *one = json_object_get(o, "card"), *many = json_object_get(o, "cards"), *v;
    int n = 1, rc = read_count(r, o, "devices", PLAN_DEVICES, &n);
    size_t i;

    if (rc) return rc;
    if (one && many) return refuse(r, "both card and cards");
    if (!one && json_object_get(o, "devices")) return refuse(r, "devices without card");
    for (int k = 0; !rc && one && k < n; k++)
        rc = put_card(r, m, one);
    if (many && !json_is_array(many)) return refuse(r, "cards is not a list");
    json_array_foreach((json_t *)many, i, v)
    {
        if ((rc = put_card(r, m, v))) break;
    }
    return rc;
}

/* --- processors ------------------------------------------------------------------------------- */

static int read_cpu(const struct reader *r, struct plan_machine *m, const json_t *o)
{
    static const char *const KEYS[] = {"cores", "gflops", "gbs", "gib", NULL};
    const json_t *cpu = json_object_get(o, "cpu");
    struct plan_device *d = &m->devices[m->n_devices];
    double gflops = 0, gbs = 0, gib = 0;
    int cores = 0, rc;

    if (!cpu) return ERR_OK;
    if (!json_is_object(cpu)) return refuse(r, "cpu is not an object");
    if (m->n_devices == PLAN_DEVICES) return refuse(r, "more than %d devices", PLAN_DEVICES);
    if ((rc = check_keys(r, cpu, KEYS)) || (rc = read_count(r, cpu, "cores", 1 << 12, &cores)) ||
        (rc = read_number(r, cpu, "gflops", 0.001, 1e7, &gflops)) ||
        (rc = read_number(r, cpu, "gbs", 0.001, 1e5, &gbs)) ||
        (rc = read_number(r, cpu, "gib", 0.001, 1e5, &gib)))
        return rc;
    if (gflops <= 0 || gbs <= 0 || gib <= 0)
        return refuse(r, "cpu lacks %s", gflops <= 0 ? "gflops" : gbs <= 0 ? "gbs" : "gib");
    snprintf(d->name, sizeof d->name, "cpu");
    d->bytes = gib * GIB;
    d->speed = (struct device_speed){.flops = gflops * GIGA,
                                     .bytes_per_s = gbs * GIGA,
                                     .flops_share = 1,
                                     .bytes_share = 1,
                                     .launch_s = CPU_LAYER};
    m->n_devices++;
    return ERR_OK;
}

/* --- machines --------------------------------------------------------------------------------- */

#define NAME 55 /* bytes; a number comes behind it */

static bool is_name(const json_t *v)
{
    const char *name = json_string_value(v);
    size_t n = json_is_string(v) ? json_string_length(v) : 0;

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i])) return false;
    return n > 0 && n <= NAME;
}

static int read_name(struct reader *r, struct plan_machine *m, const json_t *o, int at)
{
    const json_t *v = json_object_get(o, "name");

    snprintf(r->where, sizeof r->where, "machine %d", at + 1);
    if (!json_is_object(o)) return refuse(r, "not an object");
    if (!is_name(v))
        return refuse(r, "name is not 1 to %d letters, digits, dots, dashes, underlines", NAME);
    snprintf(m->name, sizeof m->name, "%s", json_string_value(v));
    snprintf(r->where, sizeof r->where, "machine %s", m->name);
    return ERR_OK;
}

static int read_machine(struct reader *r, struct plan_machine *m, const json_t *o)
{
    static const char *const KEYS[] = {"name",    "count",    "card",         "cards",
                                       "devices", "link_gbs", "usd_per_hour", "utilisation",
                                       "cpu",     NULL};
    double link_gbs = 0;
    int rc;

    if ((rc = check_keys(r, o, KEYS)) || (rc = read_number(r, o, "link_gbs", 0, 1e5, &link_gbs)) ||
        (rc = read_number(r, o, "usd_per_hour", 0, 1e6, &m->usd_per_hour)) ||
        (rc = read_number(r, o, "utilisation", 0.01, 1, &m->utilisation)) ||
        (rc = read_cards(r, m, o)) || (rc = read_cpu(r, m, o)))
        return rc;
    m->link_bytes_per_s = link_gbs * GIGA;
    return m->n_devices ? ERR_OK : refuse(r, "no card, no cards and no cpu");
}

static bool has_name(const struct plan_cluster *c, const char *name)
{
    for (int i = 0; i < c->n_machines; i++)
        if (!strcmp(c->machines[i].name, name)) return true;
    return false;
}

static int put_machines(const struct reader *r, struct plan_cluster *c,
                        const struct plan_machine *m, int count)
{
    for (int i = 0; i < count; i++) {
        struct plan_machine *to = &c->machines[c->n_machines];
        char name[sizeof m->name + 16];

        if (c->n_machines == PLAN_MACHINES)
            return refuse(r, "more than %d machines in all", PLAN_MACHINES);
        snprintf(name, sizeof name, "%s", m->name);
        if (count > 1) snprintf(name, sizeof name, "%.55s-%d", m->name, i + 1);
        if (has_name(c, name)) return refuse(r, "there are two of the name %s", name);
        *to = *m;
        snprintf(to->name, sizeof to->name, "%.63s", name);
        c->n_machines++;
    }
    return ERR_OK;
}

static int read_machines(struct reader *r, struct plan_cluster *c, const json_t *all)
{
    static const char *const KEYS[] = {"machines", NULL};
    const json_t *list = json_object_get(all, "machines"), *o;
    size_t i;
    int rc;

    if (!json_is_object(all)) return refuse(r, "not a JSON object");
    if ((rc = check_keys(r, all, KEYS))) return rc;
    if (!json_is_array(list) || !json_array_size(list))
        return refuse(r, "machines is not a list of at least one machine");
    json_array_foreach((json_t *)list, i, o)
    {
        struct plan_machine m = {0};
        int count = 1;

        if ((rc = read_name(r, &m, o, (int)i)) ||
            (rc = read_count(r, o, "count", PLAN_MACHINES, &count)) ||
            (rc = read_machine(r, &m, o)) || (rc = put_machines(r, c, &m, count)))
            return rc;
    }
    return ERR_OK;
}

static int load(json_t **out, const struct reader *r)
{
    struct stat st;
    json_error_t why;

    if (stat(r->path, &st)) return err_set(r->e, ERR_IO, "%s: %s", r->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return err_set(r->e, ERR_IO, "%s: not a file", r->path);
    if (st.st_size > MAX_BYTES)
        return refuse(r, "%lld bytes, more than %lld", (long long)st.st_size, (long long)MAX_BYTES);
    if (!(*out = json_load_file(r->path, JSON_REJECT_DUPLICATES, &why)))
        return refuse(r, "line %d: %s", why.line, why.text);
    return ERR_OK;
}

int plan_cluster_read(struct plan_cluster **out, const char *path, struct errmsg *e)
{
    struct reader r = {.path = path, .e = e};
    struct plan_cluster *c = calloc(1, sizeof *c);
    json_t *all = NULL;
    int rc;

    *out = NULL;
    if (!c) return err_set(e, ERR_NOMEM, "no memory for a cluster");
    if ((rc = load(&all, &r)) || (rc = read_machines(&r, c, all))) goto out;
    *out = c;
    c = NULL;
out:
    json_decref(all);
    free(c);
    return rc;
}
