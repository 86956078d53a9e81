/* submit.c - nightmill submit: put the rows of a file into the queue. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "clients/broker_flags.h"
#include "clients/command.h"
#include "clients/request_fields.h"
#include "clients/submit_flags.h"
#include "clients/watch.h"
#include "clients/when.h"

#define PING_MS 5000

struct config {
    const char *model, *errors;
    struct broker_flags broker;
    int64_t priority;
    bool wait;
    struct submit_flags submit;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    BROKER_OPTS(AT(broker)),
    {"model", 'm', "NAME", "only instances of this model may answer (default: any)", OPT_STR,
     AT(model), 0, 0},
    {"priority", 'p', "N", "smaller runs first (default 0)", OPT_INT, AT(priority),
     -REQUEST_MAX_PRIORITY, REQUEST_MAX_PRIORITY},
    {"errors", 0, "FILE", "the list of bad lines goes here, as OpenAI's batch object has it",
     OPT_STR, AT(errors), 0, 0},
    {"wait", 'w', NULL, "stay until the batch is finished, and show how far it is", OPT_FLAG,
     AT(wait), 0, 0},
    SUBMIT_OPTS(AT(submit)),
    {0}};
static const struct opt_command COMMAND = {
    "submit",
    "FILE|-",
    "Puts the rows of a JSONL file into the queue; returns when they are on disk. The same file "
    "again adds only what is "
    "new.",
    OPTS,
    1,
    1};

static int read_times(const struct submit_flags *f, int64_t now_ms, struct batch_wish *w,
                      struct errmsg *e)
{
    int rc = ERR_OK;

    if (f->not_before) rc = when_parse(f->not_before, now_ms, &w->not_before_ms, e);
    if (!rc && f->deadline) rc = when_parse(f->deadline, now_ms, &w->deadline_ms, e);
    if (!rc && f->window) rc = when_window(f->window, &w->window_from, &w->window_to, e);
    if (rc) return rc;
    if (f->deadline && w->deadline_ms <= now_ms)
        return err_set(e, ERR_ARG, "--deadline %s has passed", f->deadline);
    if (f->deadline && f->not_before && w->deadline_ms <= w->not_before_ms)
        return err_set(e, ERR_ARG, "--deadline %s is not after --not-before %s", f->deadline,
                       f->not_before);
    return ERR_OK;
}

int submit_flags_apply(const struct submit_flags *f, int64_t now_ms, struct ingest_opts *o,
                       struct errmsg *e)
{
    if (strcmp(f->format, "jsonl") && strcmp(f->format, "text"))
        return err_set(e, ERR_ARG, "--format is '%s', not jsonl or text", f->format);
    o->batch = f->batch;
    o->wish = (struct batch_wish)BATCH_WISH_DEFAULT;
    o->wish.max_attempts = f->max_attempts;
    if (f->reuse) o->wish.reuse = 1;
    o->strict = f->strict;
    o->replace = f->replace;
    o->format.text = !strcmp(f->format, "text");
    o->format.text_endpoint = ENDPOINT_CHAT;
    o->format.max_bytes = (size_t)f->max_body_bytes;
    return read_times(f, now_ms, &o->wish, e);
}

int command_submit(int argc, char **argv)
{
    struct config c = {
        .broker = BROKER_FLAGS_DEFAULT, .priority = BATCH_UNSAID, .submit = SUBMIT_FLAGS_DEFAULT};
    struct ingest_opts o = {0};
    struct ingest_counts n;
    struct watch_counts w;
    struct client *client = NULL;
    struct errmsg e = {{0}};
    int rc = opt_parse(&COMMAND, &c, &o.file, argc, argv, &e), code;

    if (!rc) rc = submit_flags_apply(&c.submit, clock_wall_ms(), &o, &e);
    if (rc) return command_fail("submit", rc, &e);
    o.errors = c.errors;
    o.wish.model = c.model;
    o.wish.priority = c.priority;
    if ((o.signals = command_signals(&e)) < 0) return command_fail("submit", ERR_IO, &e);
    if ((rc = broker_flags_connect(&c.broker, PING_MS, &client, &e))) goto out;
    if ((rc = ingest_file(client, &o, &n, &e))) goto out;
    ingest_report("submit", &n);
    code = n.refused || n.sent.differs ? EXIT_SOME_FAILED : EXIT_ALL_DONE;
    if (c.wait) {
        if ((rc = watch_batch(c.broker.db, n.batch, o.signals, NULL, NULL, &w, &e))) goto out;
        code = watch_exit(&w);
    }
out:
    client_close(&client);
    close(o.signals);
    if (rc == ERR_FORMAT) { /* --strict refused the file: rows, not usage */
        command_fail("submit", rc, &e);
        return EXIT_SOME_FAILED;
    }
    return rc ? command_fail("submit", rc, &e) : code;
}
