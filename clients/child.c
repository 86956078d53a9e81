/* child.c - a worker as a child process. */
#include "clients/child.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct words {
    char *at[48];
    char text[20][64];
    int n, n_text;
};

static void add_flag(struct words *w, const char *flag, int64_t value)
{
    snprintf(w->text[w->n_text], sizeof w->text[0], "%s=%lld", flag, (long long)value);
    w->at[w->n++] = w->text[w->n_text++];
}

static void add_word(struct words *w, const char *flag, const char *value)
{
    if (!value) return;
    w->at[w->n++] = (char *)flag;
    w->at[w->n++] = (char *)value;
}

static void add_engine(struct words *w, const struct engine_flags *f)
{
    char *share = w->text[w->n_text++];

    add_word(w, "--device", f->device);
    add_word(w, "--context-dir", f->context_dir);
    if (f->kv_bytes) add_flag(w, "--kv-cache-memory-bytes", f->kv_bytes);
    snprintf(share, sizeof w->text[0], "%.6f", f->memory_utilization);
    add_word(w, "--gpu-memory-utilization", share);
    add_flag(w, "--max-num-seqs", f->max_num_seqs);
    add_flag(w, "--max-num-batched-tokens", f->max_batched_tokens);
    add_flag(w, "--max-model-len", f->max_model_len);
    add_flag(w, "--default-max-tokens", f->default_max_tokens);
    add_flag(w, "--profile-seconds", f->profile_seconds);
    add_flag(w, "--threads", f->threads);
    if (f->tp) add_flag(w, "--tensor-parallel-size", f->tp);
    add_word(w, "--kv-cache-dtype", f->kv_dtype);
    add_word(w, "--dtype", f->dtype);
    add_word(w, "--quantization", f->quantization);
    add_word(w, "--sm-count", f->sm_counts);
    if (f->batch_invariant) w->at[w->n++] = "--batch-invariant";
    w->at[w->n++] = f->prefix_caching ? "--enable-prefix-caching" : "--no-enable-prefix-caching";
}

int child_start(pid_t *pid, const struct child_spec *s, struct errmsg *e)
{
    struct words w = {0};
    posix_spawnattr_t attr;
    sigset_t none;
    int rc;

    w.at[w.n++] = "nightmill";
    w.at[w.n++] = "worker";
    add_word(&w, "--model", s->model);
    add_word(&w, "--broker", s->address);
    add_word(&w, "--key", s->key);
    add_word(&w, "--name", s->name);
    add_flag(&w, "--end-with-parent", getpid());
    add_engine(&w, s->engine);
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    rc = posix_spawn(pid, "/proc/self/exe", NULL, &attr, w.at, environ);
    posix_spawnattr_destroy(&attr);
    if (!rc) return ERR_OK;
    *pid = 0;
    return err_set(e, ERR_IO, "a worker cannot be started: %s", strerror(rc));
}

const char *child_end_text(int status, char text[64])
{
    if (WIFSIGNALED(status))
        snprintf(text, 64, "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, 64, "ended with status %d", WEXITSTATUS(status));
    return text;
}
