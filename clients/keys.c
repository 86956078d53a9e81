/* keys.c - nightmill keys: who may reach a broker over tcp://. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/opt.h"
#include "broker/keyring.h"
#include "clients/command.h"

struct config {
    const char *db, *keys, *role;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file whose broker is meant (default nightmill.db)", OPT_STR,
     AT(db), 0, 0},
    {"keys", 0, "DIR", "the directory of its keys (default FILE.keys)", OPT_STR, AT(keys), 0, 0},
    {"role", 'r', "worker|client|admin",
     "make: what the key is good for: answering rows, submitting them, everything", OPT_STR,
     AT(role), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "keys",
    "make NAME | list | revoke NAME",
    "Makes, lists and revokes the keys of workers and clients that reach the broker over tcp://. A "
    "running broker takes the change in within a second.",
    OPTS,
    1,
    2};

static int make(const char *dir, const char *name, const char *role, struct errmsg *e)
{
    char made[PATH_MAX];
    int rc;

    if (!role) return err_set(e, ERR_ARG, "--role is missing: worker, client or admin");
    if (!role_from_name(role))
        return err_set(e, ERR_ARG, "--role is '%s', not worker, client or admin", role);
    if ((rc = keyring_add(dir, name, role_from_name(role), made, e))) return rc;
    printf("%s\n", made);
    fprintf(stderr, "nightmill keys: take this file to where %s runs, and give it there as --key\n",
            name);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct key *const *)a)->name, (*(const struct key *const *)b)->name);
}

static void print_key(const struct key *k)
{
    printf("%-16s %-6s %s\n", k->name, k->role ? role_name(k->role) : "broker", k->public_key);
}

static int list(const char *dir, struct errmsg *e)
{
    struct keyring *k = NULL;
    const struct key **keys = NULL;
    size_t n = 0;
    int rc = keyring_open(&k, dir, clock_wall_ms(), e);

    if (rc) return rc;
    while (keyring_at(k, n))
        n++;
    keys = calloc(n + 1, sizeof *keys);
    for (size_t i = 0; keys && i < n; i++)
        keys[i] = keyring_at(k, i);
    if (keys) qsort(keys, n, sizeof *keys, by_name);
    if (!keys)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        print_key(keyring_own(k));
    for (size_t i = 0; keys && i < n; i++)
        print_key(keys[i]);
    free(keys);
    keyring_close(&k);
    return rc;
}

int command_keys(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db"};
    const char *words[2] = {NULL, NULL}, *dir;
    char beside[PATH_MAX];
    struct errmsg e = {{0}};
    int rc = opt_parse(&COMMAND, &c, words, argc, argv, &e);

    if (rc) return command_fail("keys", rc, &e);
    if (snprintf(beside, sizeof beside, "%s.keys", c.db) >= (int)sizeof beside)
        return command_fail("keys", err_set(&e, ERR_ARG, "the path of --db is too long"), &e);
    dir = c.keys ? c.keys : beside;
    if (!strcmp(words[0], "list") && !words[1])
        rc = list(dir, &e);
    else if (!strcmp(words[0], "make") && words[1])
        rc = make(dir, words[1], c.role, &e);
    else if (!strcmp(words[0], "revoke") && words[1])
        rc = keyring_revoke(dir, words[1], &e);
    else
        rc = err_set(&e, ERR_ARG, "what is to be done: make NAME, list, or revoke NAME");
    return rc ? command_fail("keys", rc, &e) : EXIT_ALL_DONE;
}
