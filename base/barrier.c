/* barrier.c - threads that wait for each other. */
#include "base/barrier.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPINS 2000

struct barrier {
    int n;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    int n_here;
    atomic_uint turn; /* grows when all have arrived */
};

int barrier_open(struct barrier **out, int n)
{
    struct barrier *b = calloc(1, sizeof *b);

    *out = b;
    if (!b) return ERR_NOMEM;
    b->n = n;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->turned, NULL);
    return ERR_OK;
}

void barrier_close(struct barrier **b)
{
    if (!*b) return;
    pthread_cond_destroy(&(*b)->turned);
    pthread_mutex_destroy(&(*b)->lock);
    free(*b);
    *b = NULL;
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void barrier_wait(struct barrier *b)
{
    const unsigned turn = atomic_load(&b->turn);

    pthread_mutex_lock(&b->lock);
    if (++b->n_here == b->n) {
        b->n_here = 0;
        atomic_fetch_add(&b->turn, 1);
        pthread_cond_broadcast(&b->turned);
        pthread_mutex_unlock(&b->lock);
        return;
    }
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < SPINS && atomic_load(&b->turn) == turn; i++)
        pause_cpu();
    if (atomic_load(&b->turn) != turn) return;
    pthread_mutex_lock(&b->lock);
    while (atomic_load(&b->turn) == turn)
        pthread_cond_wait(&b->turned, &b->lock);
    pthread_mutex_unlock(&b->lock);
}
