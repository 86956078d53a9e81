/* plan_json.c - what was planned, as one object of JSON. */
#include "clients/plan_print.h"

#include <math.h>

static json_t *instance_json(const struct plan_told *t, const struct plan_instance *i)
{
    const struct plan_machine *m = &t->in->cluster->machines[i->machine];
    char devices[64];
    json_t *o;

    plan_input_devices(t->in, i, devices);
    o = json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:I,s:f,s:f,s:s,s:[f,f,f,f,f,f]}", "machine", m->name,
                  "devices", devices, "card",
                  i->devices ? m->devices[__builtin_ctz(i->devices)].name : "", "tp", i->tp,
                  "dtype", dtype_name(i->dtype), "kv_dtype", dtype_name(i->kv_dtype), "kv_tokens",
                  (json_int_t)i->kv_tokens, "batch", i->batch, "rows_per_s", i->rows_per_s,
                  "source", SOURCE_NAMES[i->source], "step_ms", i->perf.k0, i->perf.kw, i->perf.k1,
                  i->perf.k2, i->perf.k3, i->perf.k4);
    json_object_set_new(o, "mape", i->mape >= 0 ? json_real(i->mape) : json_null());
    return o;
}

static json_t *one_json(const struct plan_told *t, const struct plan *p)
{
    json_t *o =
        json_pack("{s:f,s:I}", "seconds", p->seconds, "rows_nowhere", (json_int_t)p->rows_nowhere);
    json_t *all = json_array();
    const double row = plan_row_seconds(p);

    for (int i = 0; i < p->n_instances; i++)
        json_array_append_new(all, instance_json(t, &p->instances[i]));
    json_object_set_new(o, "row_seconds", isfinite(row) ? json_real(row) : json_null());
    json_object_set_new(o, "usd", p->usd > 0 ? json_real(p->usd) : json_null());
    if (p->why[0]) json_object_set_new(o, "why_not", json_string(p->why));
    json_object_set_new(o, "instances", all);
    return o;
}

static json_t *rows_json(const struct plan_told *t)
{
    const struct workload *w = t->w;
    json_t *bad = json_object();
    json_t *o =
        json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I}", "rows_of", t->rows_of,
                  "rows", (json_int_t)w->rows, "good", (json_int_t)w->lengths->rows, "finished",
                  (json_int_t)w->done, "duplicates", (json_int_t)w->duplicates, "prompt_tokens",
                  (json_int_t)w->lengths->prompt, "shared_tokens", (json_int_t)w->shared_tokens,
                  "output_tokens", (json_int_t)w->lengths->output, "answers", t->answers,
                  "unlimited", (json_int_t)w->unlimited, "longest", (json_int_t)w->longest,
                  "disk_bytes", (json_int_t)workload_disk_bytes(w));

    for (int i = 0; i < w->n_bad; i++)
        json_object_set_new(bad, w->bad[i].code, json_integer(w->bad[i].rows));
    json_object_set_new(o, "bad", bad);
    if (w->first_bad_line)
        json_object_set_new(
            o, "first_bad",
            json_pack("{s:I,s:s}", "line", (json_int_t)w->first_bad_line, "message", w->first_bad));
    return o;
}

json_t *plan_json(const struct plan_told *t)
{
    json_t *o = rows_json(t), *others = json_array();

    json_object_set_new(o, "model", json_string(t->in->name));
    json_object_set_new(o, "weight_bytes",
                        json_real(model_shape_weight_bytes(&t->in->model.shape)));
    json_object_set_new(o, "machines_of", json_string(t->in->from));
    json_object_set_new(o, "machines", json_integer(t->in->cluster->n_machines));
    json_object_set_new(o, "looked_at", json_integer(t->a->looked_at));
    json_object_set_new(o, "plan", one_json(t, &t->a->best));
    for (int i = 0; i < t->a->n_others; i++)
        json_array_append_new(others, one_json(t, &t->a->others[i]));
    if (!o || json_object_set_new(o, "others", others)) {
        json_decref(o);
        return NULL;
    }
    return o;
}
