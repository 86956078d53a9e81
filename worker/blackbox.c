/* blackbox.c - what a worker was doing when it ended. */
#include "worker/blackbox.h"

#include <stdio.h>
#include <sys/mman.h>

int blackbox_open(struct blackbox **out, struct errmsg *e)
{
    void *at = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *out = at == MAP_FAILED ? NULL : at;
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "no memory to share with a worker");
}

void blackbox_close(struct blackbox **b)
{
    if (*b) munmap(*b, sizeof **b);
    *b = NULL;
}

struct box_slot *blackbox_slot(struct blackbox *b, const char *uuid)
{
    int32_t i = b ? atomic_fetch_add(&b->n_slots, 1) : BLACKBOX_SLOTS;

    if (i >= BLACKBOX_SLOTS) return NULL;
    snprintf(b->slots[i].uuid, sizeof b->slots[i].uuid, "%s", uuid);
    return &b->slots[i];
}

void box_row(struct box_slot *s, int i, int64_t job_id, int64_t generation)
{
    if (!s || i >= BLACKBOX_ROWS) return;
    s->rows[i].job_id = job_id;
    s->rows[i].generation = generation;
}

void box_begin(struct box_slot *s, int n)
{
    if (s) atomic_store(&s->n, n < BLACKBOX_ROWS ? n : BLACKBOX_ROWS);
}

void box_end(struct box_slot *s)
{
    if (s) atomic_store(&s->n, 0);
}
