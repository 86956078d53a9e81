/* pool.c - the CPU's struct stream: a fixed set of threads that share one piece of work at a time.
 */
#include "kernels/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAX_THREADS 1024
/* Looks before sleeping: within a step the next op follows in microseconds, a wake-up costs more.
 */
#define SPINS 2000

/* Memory that was asked for with pool_keep. */
struct kept {
    struct kept *next;
    void *at;
    size_t bytes;
};

struct stream {
    pthread_mutex_t lock;
    pthread_cond_t go, done;
    int n_threads;      /* the caller's included */
    int n_started;      /* threads of our own */
    pthread_t *threads; /* [n_started] */
    void *scratch;
    size_t scratch_bytes;
    struct kept *kept;

    /* one piece of work; changed under lock */
    void (*work)(void *arg, int i);
    void *arg;
    int n;
    bool open;           /* may a thread still join it? */
    atomic_uint turn;    /* grows with each piece */
    atomic_int next;     /* the next index to do */
    atomic_int n_inside; /* threads of our own at work on it */
    atomic_bool stop;
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void share(struct stream *s)
{
    int i;

    while ((i = atomic_fetch_add(&s->next, 1)) < s->n)
        s->work(s->arg, i);
}

static void *serve(void *arg)
{
    struct stream *s = arg;
    unsigned seen = 0;

    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&s->turn) == seen && !atomic_load(&s->stop); i++)
            pause_cpu();
        pthread_mutex_lock(&s->lock);
        while (atomic_load(&s->turn) == seen && !atomic_load(&s->stop))
            pthread_cond_wait(&s->go, &s->lock);
        if (atomic_load(&s->stop)) break;
        seen = atomic_load(&s->turn);
        /* One that wakes late finds the piece closed, and must not touch the next one's indexes. */
        if (s->open) {
            atomic_fetch_add(&s->n_inside, 1);
            pthread_mutex_unlock(&s->lock);
            share(s);
            pthread_mutex_lock(&s->lock);
            if (atomic_fetch_sub(&s->n_inside, 1) == 1) pthread_cond_signal(&s->done);
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int pool_open(struct stream **out, int n_threads, struct errmsg *e)
{
    struct stream *s = NULL;
    int rc;

    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return err_set(e, ERR_ARG, "threads must be between 1 and %d, not %d", MAX_THREADS,
                       n_threads);
    s = calloc(1, sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "no memory for %d threads", n_threads);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->go, NULL);
    pthread_cond_init(&s->done, NULL);
    s->n_threads = n_threads;

    rc = err_set(e, ERR_NOMEM, "no memory for %d threads", n_threads);
    s->threads = calloc((size_t)n_threads, sizeof *s->threads);
    if (!s->threads) goto out;
    for (; s->n_started < n_threads - 1; s->n_started++)
        if (pthread_create(&s->threads[s->n_started], NULL, serve, s)) {
            rc = err_set(e, ERR_NOMEM, "the system refuses to start thread %d of %d",
                         s->n_started + 2, n_threads);
            goto out;
        }
    *out = s;
    s = NULL;
    rc = ERR_OK;
out:
    pool_close(&s);
    return rc;
}

void pool_close(struct stream **sp)
{
    struct stream *s = *sp;

    if (!s) return;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    pthread_cond_broadcast(&s->go);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n_started; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->done);
    pthread_cond_destroy(&s->go);
    pthread_mutex_destroy(&s->lock);
    for (struct kept *k = s->kept, *next; k; k = next) {
        next = k->next;
        munmap(k->at, k->bytes);
        free(k);
    }
    free(s->scratch);
    free(s->threads);
    free(s);
    *sp = NULL;
}

void pool_run(struct stream *s, int n, void (*work)(void *arg, int i), void *arg)
{
    assert(n >= 0);
    if (!s || s->n_started == 0 || n < 2) {
        for (int i = 0; i < n; i++)
            work(arg, i);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->work = work;
    s->arg = arg;
    s->n = n;
    s->open = true;
    atomic_store(&s->next, 0);
    atomic_fetch_add(&s->turn, 1);
    pthread_cond_broadcast(&s->go);
    pthread_mutex_unlock(&s->lock);

    share(s);

    for (int i = 0; i < SPINS && atomic_load(&s->n_inside); i++)
        pause_cpu();
    pthread_mutex_lock(&s->lock);
    s->open = false;
    while (atomic_load(&s->n_inside))
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

int pool_threads(const struct stream *s)
{
    return s ? s->n_threads : 1;
}

int pool_reserve(struct stream *s, size_t n_bytes)
{
    const size_t whole = (n_bytes + 63) & ~(size_t)63;

    if (!s) return ERR_ARG;
    if (whole <= s->scratch_bytes) return ERR_OK;
    free(s->scratch);
    s->scratch_bytes = 0;
    s->scratch = aligned_alloc(64, whole);
    if (!s->scratch) return ERR_NOMEM;
    s->scratch_bytes = whole;
    return ERR_OK;
}

void *pool_scratch(struct stream *s, size_t *n_bytes)
{
    *n_bytes = s ? s->scratch_bytes : 0;
    return s ? s->scratch : NULL;
}

void *pool_keep(struct stream *s, size_t n_bytes)
{
    struct kept *k = calloc(1, sizeof *k);
    void *at = k && n_bytes
                   ? mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                   : MAP_FAILED;

    if (at == MAP_FAILED) {
        free(k);
        return NULL;
    }
    *k = (struct kept){s->kept, at, n_bytes};
    s->kept = k;
    return at;
}
