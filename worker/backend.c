/* backend.c - the engine as what a runner drives. */
#include "worker/backend.h"

#include <stdlib.h>

struct served {
    struct engine *engine;
    struct job_rules rules;
    struct box_slot *box; /* NULL: none */
    int64_t n_begun;
};

/* The owners of a step are jobs. */
static void note_step(void *arg, void *const *owners, int n)
{
    struct served *s = arg;

    if (s->box) box_end(s->box);
    for (int i = 0; i < n; i++) {
        struct job *j = owners[i];

        s->n_begun += !j->begun;
        j->begun = true;
        if (s->box) box_row(s->box, i, j->job_id, j->generation);
    }
    if (s->box) box_begin(s->box, n);
}

static struct result *served_start(void *self, struct job *j)
{
    struct served *s = self;

    return job_start(j, &s->rules, s->engine);
}

static void served_abort(void *self, const struct job *j)
{
    engine_abort(((struct served *)self)->engine, j);
}

static int served_step(void *self, struct errmsg *e)
{
    return engine_step(((struct served *)self)->engine, e);
}

static bool served_take(void *self, struct outcome *out)
{
    return engine_take(((struct served *)self)->engine, out);
}

static void served_stats(const void *self, struct engine_stats *out)
{
    engine_stats(((const struct served *)self)->engine, out);
}

static int64_t served_beats(const void *self)
{
    return engine_beats(((const struct served *)self)->engine);
}

static int64_t served_begun(const void *self)
{
    return ((const struct served *)self)->n_begun;
}

static void served_close(void *self)
{
    struct served *s = self;

    engine_close(&s->engine);
    free(s);
}

int backend_of_engine(struct backend *out, struct engine **en, const struct job_rules *rules,
                      struct box_slot *box, struct errmsg *e)
{
    struct served *s = calloc(1, sizeof *s);

    if (!s) {
        engine_close(en);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    s->engine = *en;
    s->rules = *rules;
    *en = NULL;
    s->box = box;
    engine_watch(s->engine, note_step, s);
    *out = (struct backend){s,           served_start, served_abort, served_step,
                            served_take, served_stats, served_beats, served_begun,
                            served_close};
    return ERR_OK;
}
