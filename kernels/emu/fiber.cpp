/* fiber.cpp - the scheduler of a block's threads, and the stacks they run on. */
#include "kernels/emu/fiber.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/order.h"
#include "kernels/emu/ptx.h"
#include "kernels/emu/shared.h"
#include "kernels/emu/stack.h"

#define MAX_THREADS 1024
#define N_BARRIERS  16

struct barrier {
    int count, sum, line; /* how many have come, what they added, where */
};

struct emu_machine {
    struct emu_stacks stacks;
    struct emu_fiber host;
    struct emu_fiber *fiber; /* the one that runs */
    struct emu_thread threads[MAX_THREADS];
    int ready[2 * MAX_THREADS]; /* a ring of thread ids */
    unsigned head, n_ready;
    int n, live; /* threads of the block; those that have not ended */
    struct barrier barriers[N_BARRIERS];
    unsigned meeting[MAX_THREADS / 32], ended[MAX_THREADS / 32]; /* lanes of each warp */
    struct emu_block block;
    const struct emu_work *work;
    uint64_t next, n_blocks;
    struct emu_order order;
    int error;
    bool running;
};

/* Of this thread.  It lies beside static shared memory and must not begin as zeros (shared.h); the
 * machine itself is the heap's, and a key frees it. */
static thread_local struct {
    struct emu_machine *machine;
    int mark;
} owner = {NULL, 1};
static pthread_key_t owner_key;
static pthread_once_t owner_once = PTHREAD_ONCE_INIT;

static void machine_close(void *m_)
{
    struct emu_machine *m = (struct emu_machine *)m_;

    for (struct emu_thread &t : m->threads)
        emu_copies_free(&t);
    emu_stacks_fini(&m->stacks);
    free(m->host.context);
    free(m);
}

static void owner_key_make(void)
{
    if (pthread_key_create(&owner_key, machine_close)) abort();
}

static struct emu_machine *machine_of_thread(void)
{
    if (owner.machine) return owner.machine;
    pthread_once(&owner_once, owner_key_make);
    owner.machine = (struct emu_machine *)calloc(1, sizeof *owner.machine);
    if (owner.machine) pthread_setspecific(owner_key, owner.machine);
    return owner.machine;
}

#define RING (2 * MAX_THREADS)

static void ready_last(struct emu_machine *m, int id)
{
    m->ready[(m->head + m->n_ready++) % RING] = id;
}

static void ready_first(struct emu_machine *m, int id)
{
    m->head = (m->head + RING - 1) % RING;
    m->ready[m->head] = id;
    m->n_ready++;
}

static struct emu_thread *ready_take(struct emu_machine *m)
{
    if (m->n_ready == 0) return NULL;
    if (m->order.kind == EMU_RANDOM) {
        const unsigned at = (m->head + emu_order_random(&m->order, m->n_ready)) % RING;
        const int id = m->ready[at];

        m->ready[at] = m->ready[m->head];
        m->ready[m->head] = id;
    }
    const int id = m->ready[m->head];
    m->head = (m->head + 1) % RING;
    m->n_ready--;
    return &m->threads[id];
}

/* Goes from the running fiber to another one and comes back here. */
static void fiber_go(struct emu_machine *m, struct emu_fiber *to)
{
    struct emu_fiber *from = m->fiber;

    m->fiber = to;
    emu_fiber_switch(from, to);
}

static void print_waiting(const struct emu_machine *m, const struct emu_thread *t)
{
    if (t->mask)
        fprintf(stderr, "  thread (%u,%u,%u), lane %d, waits in %s for the lanes 0x%08x\n",
                t->idx.x, t->idx.y, t->idx.z, t->lane, t->waits, t->mask);
    else
        fprintf(stderr, "  thread (%u,%u,%u) waits at barrier %d, line %d\n", t->idx.x, t->idx.y,
                t->idx.z, t->barrier, m->barriers[t->barrier].line);
}

static void fault_deadlock(struct emu_machine *m)
{
    int n_waiting = 0, n_left = 0;

    for (int i = 0; i < m->n; i++) {
        n_left += (int)(m->ended[i / 32] >> i % 32 & 1u);
        n_waiting += m->threads[i].waits != NULL;
    }
    for (int i = 0, shown = 0; i < m->n && shown < 4; i++)
        if (m->threads[i].waits) {
            print_waiting(m, &m->threads[i]);
            shown++;
        }
    emu_fault(719, "deadlock: %d of %d threads wait, %d have left", n_waiting, m->n, n_left);
}

/* The running thread waits until another one, or its own act, has made it ready. */
static void thread_wait(struct emu_machine *m)
{
    struct emu_thread *self = emu_now, *t = ready_take(m);

    if (t == self) return;
    if (!t) fault_deadlock(m);
    self->fiber = m->fiber;
    if (!t->fiber) {
        t->fiber = emu_stacks_take(&m->stacks);
        emu_fiber_head(t->fiber)->thread = t;
    }
    fiber_go(m, t->fiber);
}

static void block_begin(struct emu_machine *m)
{
    const uint64_t at = emu_order_block(&m->order, m->next++, m->n_blocks);
    const dim3 grid = m->work->grid;

    m->block.idx.x = (unsigned)(at % grid.x);
    m->block.idx.y = (unsigned)(at / grid.x % grid.y);
    m->block.idx.z = (unsigned)(at / grid.x / grid.y);
    if (m->block.dynamic_bytes) memset(m->block.dynamic, 0xFF, m->block.dynamic_bytes);
    memset(m->barriers, 0, sizeof m->barriers);
    memset(m->meeting, 0, sizeof m->meeting);
    memset(m->ended, 0, sizeof m->ended);
    m->live = m->n;
    m->head = m->n_ready = 0;
    for (int i = 0; i < m->n; i++) {
        struct emu_thread *t = &m->threads[i];

        t->fiber = NULL;
        t->waits = NULL;
        ready_last(m, m->order.kind == EMU_REVERSE ? m->n - 1 - i : i);
    }
}

static void thread_end(struct emu_machine *m, struct emu_thread *t)
{
    emu_copies_drop(t);
    m->ended[t->id / 32] |= 1u << t->lane;
    t->fiber = NULL;
    m->live--;
}

/* What each fiber does for ever: a thread to its end, then the next that may run. */
void emu_fiber_main(void)
{
    struct emu_machine *m = owner.machine;
    struct emu_fiber *self = m->fiber;

    for (;;) {
        struct emu_thread *t = emu_fiber_head(self)->thread;

        while (t) {
            emu_fiber_head(self)->thread = t;
            m->work->call(m->work->args);
            thread_end(m, t);
            t = ready_take(m);
            if (t && t->fiber) break;
            if (!t && m->live == 0 && m->next < m->n_blocks) {
                block_begin(m);
                t = ready_take(m);
            }
        }
        if (!t && m->live) fault_deadlock(m);
        emu_stacks_give(&m->stacks, self);
        fiber_go(m, t ? t->fiber : &m->host);
    }
}

static void threads_init(struct emu_machine *m, dim3 dim)
{
    int i = 0;

    for (unsigned z = 0; z < dim.z; z++)
        for (unsigned y = 0; y < dim.y; y++)
            for (unsigned x = 0; x < dim.x; x++, i++) {
                struct emu_thread *t = &m->threads[i];

                t->machine = m;
                t->idx = {x, y, z};
                t->block = &m->block;
                t->id = i;
                t->lane = i % 32;
            }
    m->n = i;
}

int emu_run(const struct emu_work *work)
{
    struct emu_machine *m = machine_of_thread();
    struct emu_fiber *first;

    if (!m) return 2;
    m->work = work;
    m->error = 0;
    m->block.dim = work->block;
    m->block.grid = work->grid;
    m->block.dynamic_bytes = work->dynamic_bytes;
    m->block.dynamic = NULL;
    if (work->dynamic_bytes && posix_memalign(&m->block.dynamic, 1024, work->dynamic_bytes))
        return 2;
    emu_order_init(&m->order);
    threads_init(m, work->block);
    emu_shared_fill();
    m->next = 0;
    m->n_blocks = (uint64_t)work->grid.x * work->grid.y * work->grid.z;
    block_begin(m);
    first = emu_stacks_take(&m->stacks);
    emu_fiber_head(first)->thread = ready_take(m);
    m->running = true;
    emu_fiber_host(&m->host);
    m->fiber = &m->host;
    fiber_go(m, first);
    m->running = false;
    if (m->error) {
        for (int i = 0; i < m->n; i++)
            emu_copies_drop(&m->threads[i]);
        emu_stacks_forget(&m->stacks);
    }
    free(m->block.dynamic);
    return m->error;
}

void emu_fault(int error, const char *fmt, ...)
{
    struct emu_machine *m = owner.machine;
    const struct emu_thread *t = m && m->running ? emu_now : NULL;
    va_list ap;

    fflush(stdout);
    if (t)
        fprintf(stderr, "emu: kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", m->work->name,
                m->block.idx.x, m->block.idx.y, m->block.idx.z, t->idx.x, t->idx.y, t->idx.z);
    else
        fprintf(stderr, "emu: on the host: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (!t) abort();
    m->error = error;
    fiber_go(m, &m->host);
    abort(); /* nobody goes back to a fiber after a fault */
}

unsigned emu_lanes_ended(void)
{
    return emu_now->machine->ended[emu_now->id / 32];
}

int emu_barrier(int barrier, int count, int add, int wait, int line)
{
    struct emu_thread *self = emu_now;
    struct emu_machine *m = self->machine;
    struct barrier *b = &m->barriers[barrier];

    if (count == 0) count = m->n;
    if (barrier == 0 && b->count && b->line != line)
        emu_fault(719, "threads of one block meet at two barriers, lines %d and %d", b->line, line);
    b->line = line;
    b->sum += add;
    b->count++;
    if (wait) {
        self->waits = "a barrier";
        self->mask = 0;
        self->barrier = barrier;
    }
    if (b->count == count) {
        for (int i = 0; i < m->n; i++) {
            struct emu_thread *t = &m->threads[m->order.kind == EMU_REVERSE ? m->n - 1 - i : i];

            if (!t->waits || t->mask || t->barrier != barrier) continue;
            t->waits = NULL;
            t->answer = b->sum;
            ready_last(m, t->id);
        }
        b->count = b->sum = 0;
    }
    if (wait) thread_wait(m);
    return self->answer;
}

void emu_meet(unsigned mask, const char *what, void *arg, void (*act)(void **args, unsigned mask))
{
    struct emu_thread *self = emu_now, *warp = self - self->lane;
    struct emu_machine *m = self->machine;
    const int n = m->n - (self->id - self->lane), warp_id = self->id / 32;
    void *args[32];

    if (!(mask >> self->lane & 1u))
        emu_fault(719, "%s with mask 0x%08x, which does not name its own lane %d", what, mask,
                  self->lane);
    if (n < 32 && mask >> n)
        emu_fault(719, "%s with mask 0x%08x in a warp of %d lanes", what, mask, n);
    self->waits = what;
    self->mask = mask;
    self->arg = arg;
    m->meeting[warp_id] |= 1u << self->lane;
    if (m->ended[warp_id] & mask)
        emu_fault(719, "%s with mask 0x%08x, but the lanes 0x%08x have left", what, mask,
                  m->ended[warp_id] & mask);
    if ((m->meeting[warp_id] & mask) != mask) {
        thread_wait(m);
        return;
    }
    for (unsigned left = mask; left; left &= left - 1) {
        const struct emu_thread *t = &warp[__builtin_ctz(left)];

        if (t->mask != mask || (t->waits != what && strcmp(t->waits, what)))
            emu_fault(719, "%s with mask 0x%08x, but lane %d is in %s with mask 0x%08x", what, mask,
                      t->lane, t->waits, t->mask);
        args[t->lane] = t->arg;
    }
    m->meeting[warp_id] &= ~mask;
    act(args, mask);
    /* The warp goes on before others; what is pushed in front last runs first. */
    for (int i = 0; i < 32; i++) {
        const int lane = m->order.kind == EMU_REVERSE ? i : 31 - i;

        if (!(mask >> lane & 1u)) continue;
        warp[lane].waits = NULL;
        ready_first(m, warp[lane].id);
    }
    thread_wait(m);
}
