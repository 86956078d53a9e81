/* ingest.c - an input file into the queue. */
#include "clients/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "clients/refusals.h"
#include "clients/rowid.h"

#define KEEP_BYTES 4096 /* of a line that could not be read, to show */

struct ingest {
    struct client *client;
    const struct ingest_opts *o;
    struct ingest_counts *n;
    struct rowid *ids;
    struct request request;
    struct buf spare;
    struct group *group; /* NULL: the file is only checked */
    struct refusals refusals;
    /* Strict: of the first good line. */
    struct buf model;
    bool has_model, has_endpoint;
    enum endpoint endpoint;
};

/* --- rows ------------------------------------------------------------------------------------- */

/* Reads one line into g->request and its key into id; with a bad row the key is the line's, or its
 * own id. */
static int key_row(struct ingest *g, const struct line *l, char made[ROWID_BYTES], const char **id,
                   size_t *id_len, struct row_error *bad, bool *is_bad)
{
    struct request *q = &g->request;
    int64_t first_line;
    int rc = request_parse(q, l, &g->o->format, &g->n->ignored, bad);

    if (rc && rc != ERR_FORMAT) return rc;
    *is_bad = rc == ERR_FORMAT;
    if (!rc && q->body.len > g->o->format.max_bytes) { /* escapes made it longer than its line */
        *is_bad = true;
        row_error_set(bad, ROW_TOO_LONG, NULL, "the body has %zu bytes as JSON, at most %zu",
                      q->body.len, g->o->format.max_bytes);
    }
    if (q->has_custom_id) {
        *id = q->custom_id.data;
        *id_len = q->custom_id.len;
        rc = rowid_claim(g->ids, *id, *id_len, l->number, &first_line);
        if (rc != ERR_EXISTS) return rc;
        *is_bad = true;
        row_error_duplicate(bad, *id, *id_len, l->number, first_line);
        rc = rowid_line(g->ids, l->number, made);
    } else if (*is_bad) {
        rc = rowid_line(g->ids, l->number, made);
    } else {
        rc = rowid_make(g->ids, q->body.data, q->body.len, l->number, made);
    }
    *id = made;
    *id_len = strlen(made);
    return rc;
}

/* Is the good row for another model or endpoint than the first one of a strict file? */
static bool is_mixed(struct ingest *g, struct row_error *bad)
{
    const struct request *q = &g->request;
    char own[80], first[80];

    if (!g->has_endpoint) g->endpoint = q->endpoint;
    g->has_endpoint = true;
    if (q->endpoint != g->endpoint) {
        row_error_set(bad, ROW_URL, "url", "the line is for %s, the first one for %s",
                      endpoint_url(q->endpoint), endpoint_url(g->endpoint));
        return true;
    }
    if (!q->model.len) return false;
    if (!g->has_model && buf_add(&g->model, q->model.data, q->model.len)) return false;
    g->has_model = true;
    if (q->model.len == g->model.len && !memcmp(q->model.data, g->model.data, q->model.len))
        return false;
    row_error_quote(own, sizeof own, q->model.data, q->model.len);
    row_error_quote(first, sizeof first, g->model.data, g->model.len);
    row_error_set(bad, ROW_MODEL, "model", "the line names model \"%s\", the first one \"%s\"", own,
                  first);
    return true;
}

static int add_good(struct ingest *g, struct group_row *r, struct errmsg *e)
{
    const struct request *q = &g->request;

    r->endpoint = q->endpoint;
    r->body = q->body.data;
    r->body_len = q->body.len;
    r->has_priority = q->has_priority;
    r->priority = q->priority;
    r->is_fixed = q->is_fixed;
    return group_add(g->group, r, e);
}

/* A bad row is stored with the beginning of its line. */
static int add_bad(struct ingest *g, struct group_row *r, const struct line *l, struct errmsg *e)
{
    buf_clear(&g->spare);
    if (l->bytes && utf8_repair(&g->spare, l->bytes, l->len < KEEP_BYTES ? l->len : KEEP_BYTES))
        return err_set(e, ERR_NOMEM, "out of memory");
    r->endpoint = g->request.endpoint;
    r->body = g->spare.data ? g->spare.data : "";
    r->body_len = g->spare.len;
    return group_add(g->group, r, e);
}

static int take_line(struct ingest *g, const struct line *l, struct errmsg *e)
{
    struct group_row r = {.line = l->number};
    struct row_error bad = {0};
    char made[ROWID_BYTES];
    bool is_bad;
    int rc;

    if (key_row(g, l, made, &r.id, &r.id_len, &bad, &is_bad))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!is_bad && g->o->strict) is_bad = is_mixed(g, &bad);
    g->n->rows++;
    if (is_bad) {
        g->n->refused++;
        bad.line = l->number;
        r.bad = &bad;
        if ((rc = refusals_add(&g->refusals, &bad, e))) return rc;
    }
    if (!g->group) return ERR_OK;
    return is_bad ? add_bad(g, &r, l, e) : add_good(g, &r, e);
}

static int take_file(struct ingest *g, int fd, struct errmsg *e)
{
    struct lines *lines = NULL;
    struct line l;
    int rc;

    if (rowid_open(&g->ids)) return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = lines_open(&lines, fd, g->o->format.max_bytes, e))) goto out;
    lines_wake(lines, g->o->signals);
    while (!(rc = lines_next(lines, &l, e)))
        if ((rc = take_line(g, &l, e))) break;
    if (rc == ERR_INTERRUPTED)
        err_set(e, rc, "interrupted; the same command goes on where it stopped");
    if (rc == ERR_EMPTY) rc = g->group ? group_finish(g->group, e) : ERR_OK;
out:
    lines_close(&lines);
    rowid_close(&g->ids);
    return rc;
}

/* --- the file --------------------------------------------------------------------------------- */

/* Standard input cannot be read twice: it goes through a file without a name. */
static int spool_stdin(int *fd, int signals, struct errmsg *e)
{
    struct pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
    char buf[65536];
    FILE *f = tmpfile();
    ssize_t n;

    if (!f || (*fd = dup(fileno(f))) < 0) {
        if (f) fclose(f);
        return err_set(e, ERR_IO, "a temporary file for standard input: %s", strerror(errno));
    }
    do {
        if (poll(waits, 2, -1) > 0 && waits[1].revents) {
            fclose(f);
            close(*fd);
            return err_set(e, ERR_INTERRUPTED, "interrupted");
        }
        n = read(STDIN_FILENO, buf, sizeof buf);
        if (n > 0 && fwrite(buf, 1, (size_t)n, f) != (size_t)n) n = -1;
    } while (n > 0);
    if (fclose(f) || n < 0) {
        close(*fd);
        return err_set(e, ERR_IO, "standard input: %s", strerror(errno));
    }
    return lseek(*fd, 0, SEEK_SET) < 0 ? err_set(e, ERR_IO, "standard input: %s", strerror(errno))
                                       : ERR_OK;
}

static int open_input(const struct ingest_opts *o, int *fd, struct errmsg *e)
{
    struct stat st;

    if (!strcmp(o->file, "-") && o->strict) return spool_stdin(fd, o->signals, e);
    *fd = strcmp(o->file, "-") ? open(o->file, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (*fd < 0) return err_set(e, ERR_IO, "%s: %s", o->file, strerror(errno));
    if (!fstat(*fd, &st) && S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "%s: %s", o->file, strerror(EISDIR));
    return ERR_OK;
}

static int name_batch(const struct ingest_opts *o, struct ingest_counts *n, struct errmsg *e)
{
    const char *slash = strrchr(o->file, '/'), *name = o->batch;

    if (!name && !strcmp(o->file, "-"))
        return err_set(e, ERR_ARG, "standard input has no name: give --batch NAME");
    if (!name) name = slash ? slash + 1 : o->file;
    if (!*name || strlen(name) >= sizeof n->batch || !utf8_is_valid(name, strlen(name)))
        return err_set(e, ERR_ARG, "a batch's name has 1 to %zu bytes of UTF-8: give --batch NAME",
                       sizeof n->batch - 1);
    strcpy(n->batch, name);
    return ERR_OK;
}

/* G2: a file without rows is bad as a whole. */
static int refuse_empty(struct ingest *g, struct errmsg *e)
{
    struct row_error bad = {0};

    row_error_set(&bad, ROW_EMPTY, NULL, "the file holds no rows");
    g->n->refused++;
    return refusals_add(&g->refusals, &bad, e);
}

/* G2 */
static int check_first(struct ingest *g, int fd, struct errmsg *e)
{
    struct ingest_counts *n = g->n;
    int rc;

    if (!g->o->strict) return ERR_OK;
    if ((rc = take_file(g, fd, e))) return rc;
    if (!n->rows && (rc = refuse_empty(g, e))) return rc;
    if (!n->rows)
        return err_set(e, ERR_FORMAT, "the file holds no rows; with --strict that is refused");
    if (n->refused)
        return err_set(e, ERR_FORMAT,
                       "%lld of %lld lines are bad; with --strict nothing was submitted",
                       (long long)n->refused, (long long)n->rows);
    n->rows = 0;
    memset(&n->ignored, 0, sizeof n->ignored);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, ERR_IO, "%s: cannot be read twice, as --strict needs", g->o->file);
    return ERR_OK;
}

int ingest_file(struct client *c, const struct ingest_opts *o, struct ingest_counts *n,
                struct errmsg *e)
{
    struct ingest g = {.client = c, .o = o, .n = n};
    int fd = -1, rc, end;

    memset(n, 0, sizeof *n);
    client_wake(c, o->signals);
    request_init(&g.request);
    if ((rc = name_batch(o, n, e))) goto out;
    if (sink_is_same(o->file, o->errors)) {
        rc = err_set(e, ERR_ARG, "%s: the list of bad lines would take the input's place", o->file);
        goto out;
    }
    if ((rc = open_input(o, &fd, e))) goto out;
    if ((rc = refusals_open(&g.refusals, o->errors, e))) goto out;
    if ((rc = check_first(&g, fd, e))) goto out;
    if ((rc = batch_ask(c, n->batch, &o->wish, &n->found, e))) goto out;
    if ((rc = group_open(&g.group, c, n->found.id, o->replace, &n->sent, e))) goto out;
    rc = take_file(&g, fd, e);
out:
    end = refusals_close(&g.refusals, !rc || rc == ERR_FORMAT, rc ? NULL : e);
    if (!rc) rc = end;
    if (fd >= 0) close(fd);
    group_close(&g.group);
    request_fini(&g.request);
    buf_fini(&g.spare);
    buf_fini(&g.model);
    return rc;
}

void ingest_report(const char *command, const struct ingest_counts *n)
{
    fprintf(stderr, "nightmill %s: batch %s: %lld rows, %lld new", command, n->batch,
            (long long)n->rows, (long long)n->sent.added);
    if (n->sent.same) fprintf(stderr, ", %lld there already", (long long)n->sent.same);
    if (n->sent.mended) fprintf(stderr, ", %lld mended", (long long)n->sent.mended);
    if (n->sent.replaced) fprintf(stderr, ", %lld replaced", (long long)n->sent.replaced);
    if (n->sent.reused)
        fprintf(stderr, ", %lld answered from earlier rows", (long long)n->sent.reused);
    if (n->refused)
        fprintf(stderr, ", %lld bad lines stored as failed rows", (long long)n->refused);
    fputc('\n', stderr);
    if (n->found.keeps[0])
        fprintf(stderr, "nightmill %s: batch %s is there already and keeps %s\n", command, n->batch,
                n->found.keeps);
    if (n->sent.differs)
        fprintf(stderr,
                "nightmill %s: %lld rows have the id of a row with another body and were skipped; "
                "--replace "
                "runs them again\n",
                command, (long long)n->sent.differs);
    for (int i = 0; i < n->ignored.n; i++)
        fprintf(stderr, "nightmill %s: field '%s' is not known and was ignored (%lld rows)\n",
                command, n->ignored.at[i].name, (long long)n->ignored.at[i].count);
}
