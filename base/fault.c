/* fault.c - failures as inputs. */
#include "base/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FAULTS 8

/* Written by fault_setup before threads start; only `left` changes later. */
static struct {
    char point[24];
    bool kill;
    atomic_long left; /* passes until it strikes; it strikes at the change from 1 to 0 */
} faults[MAX_FAULTS];
static atomic_int n_faults;

static int parse_one(const char *word, size_t len, int at, struct errmsg *e)
{
    char text[80], action[8];
    long count;
    int n = 0;

    if (len >= sizeof text)
        return err_set(e, ERR_ARG, "fault setting is too long: %.*s", (int)len, word);
    memcpy(text, word, len);
    text[len] = '\0';
    if (sscanf(text, "%23[a-z]:%ld:%7[a-z]%n", faults[at].point, &count, action, &n) != 3 ||
        text[n] || count < 1)
        return err_set(e, ERR_ARG, "fault setting '%s' is not point:count:kill or point:count:fail",
                       text);
    if (strcmp(action, "kill") && strcmp(action, "fail"))
        return err_set(e, ERR_ARG, "fault action '%s' is not kill or fail", action);
    faults[at].kill = action[0] == 'k';
    atomic_store(&faults[at].left, count);
    return ERR_OK;
}

int fault_setup(const char *setting, struct errmsg *e)
{
    int n = 0, rc;

    atomic_store(&n_faults, 0);
    while (setting && *setting) {
        size_t len = strcspn(setting, ",");

        if (n == MAX_FAULTS) return err_set(e, ERR_ARG, "more than %d faults are set", MAX_FAULTS);
        if ((rc = parse_one(setting, len, n, e))) return rc;
        n++;
        setting += len + (setting[len] == ',');
    }
    atomic_store(&n_faults, n);
    return ERR_OK;
}

bool fault_here(const char *point)
{
    int n = atomic_load_explicit(&n_faults, memory_order_relaxed);

    for (int i = 0; i < n; i++) {
        if (strcmp(faults[i].point, point) || atomic_fetch_sub(&faults[i].left, 1) != 1) continue;
        if (faults[i].kill) kill(getpid(), SIGKILL);
        return true;
    }
    return false;
}
