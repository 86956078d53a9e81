/* engine_peer.c - libllama on the rows of engine_run, through llama_driver.py. */
#include "bench/engine_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/report.h"

bool engine_peer_install(const char *folder)
{
    char command[PATH_MAX + 64];

    snprintf(command, sizeof command, "sh bench/engine_deps.sh '%s'", folder);
    if (!system(command)) return true;
    fprintf(stderr, "bench: SKIPPED: no figure of llama.cpp, and none against it\n");
    return false;
}

static void become(const int *in, const int *out, const char *folder, const char *gguf)
{
    char python[PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    snprintf(python, sizeof python, "%s/venv/bin/python", folder);
    execl(python, python, "bench/llama_driver.py", gguf, (char *)NULL);
    _exit(127);
}

void engine_peer_open(struct engine_peer *p, const char *folder, const char *gguf)
{
    int in[2], out[2];
    char line[4096];

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) report_fail("pipe: %s", strerror(errno));
    p->pid = fork();
    if (p->pid < 0) report_fail("fork: %s", strerror(errno));
    if (!p->pid) become(in, out, folder, gguf);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    if (!p->to || !p->from || !fgets(line, sizeof line, p->from))
        report_fail("%s: the driver of llama.cpp does not start", gguf);
    fprintf(stderr, "bench: llama-cpp-python %s", line);
}

void engine_peer_close(struct engine_peer *p)
{
    fclose(p->to);
    fclose(p->from);
    waitpid(p->pid, NULL, 0);
}

void engine_peer_run(struct engine_peer *p, const struct engine_load *l,
                     const struct peer_setting *s, struct peer_times *out)
{
    double prefill_cpu_s, decode_cpu_s;

    fprintf(p->to, "%d %d %d %d %d %d %d\n", l->threads, l->sequences, l->prompt, l->answer,
            s->ubatch, s->flash, s->unified);
    fflush(p->to);
    if (fscanf(p->from, "%lf %lf %lf %lf %lf", &out->prefill_s, &out->decode_s, &out->argmax_s,
               &prefill_cpu_s, &decode_cpu_s) != 5)
        report_fail("the driver of llama.cpp ended");
    for (int i = 0; i < l->answer; i++)
        if (fscanf(p->from, "%d", &out->ids[i]) != 1) report_fail("llama.cpp: %d tokens", i);
    if (l->threads > 1) return; /* see peak_clock_ns */
    out->prefill_s = prefill_cpu_s;
    out->decode_s = decode_cpu_s;
}
