/* ingest.c - an input file into the queue. */
#include "clients/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "clients/command.h"
#include "clients/rowid.h"

#define IN_FLIGHT   4      /* groups sent and not yet acked */
#define GROUP_ROWS  16384  /* at most; large groups make random ids cheap to index */
#define ACK_MS      120000 /* a full disk holds acks back; then say so */
#define KEEP_BYTES  4096   /* of a line that could not be read, to show */
#define TOLD_ERRORS 10

struct ingest {
    struct client *client;
    const struct ingest_opts *o;
    struct ingest_counts *n;
    struct rowid *ids;
    struct request request;
    struct buf spare;
    struct wire_out group; /* the rows of the next message, without their array's head */
    uint32_t group_rows;
    int in_flight;
};

/* --- groups ----------------------------------------------------------------------------------- */

static void begin_group(struct ingest *g)
{
    msgpack_sbuffer_init(&g->group.buf);
    msgpack_packer_init(&g->group.pk, &g->group.buf, msgpack_sbuffer_write);
    g->group_rows = 0;
}

static int hear_one(struct ingest *g, struct errmsg *e)
{
    struct wire_msg m;
    int rc = client_hear(g->client, WIRE_ROWS_OK, &m, ACK_MS, e);

    if (rc) return rc;
    g->in_flight--;
    g->n->added += wire_int(&m.map, "added", 0);
    g->n->same += wire_int(&m.map, "same", 0);
    g->n->differs += wire_int(&m.map, "differs", 0);
    g->n->replaced += wire_int(&m.map, "replaced", 0);
    g->n->mended += wire_int(&m.map, "mended", 0);
    wire_msg_fini(&m);
    return ERR_OK;
}

static int send_group(struct ingest *g, struct errmsg *e)
{
    struct wire_out o;
    int rc;

    if (!g->group_rows) return ERR_OK;
    while (g->in_flight >= IN_FLIGHT)
        if ((rc = hear_one(g, e))) return rc;
    wire_begin(&o, 3);
    wire_put_int(&o, "batch", g->n->batch_id);
    wire_put_int(&o, "replace", g->o->replace);
    wire_put_array(&o, "rows", g->group_rows);
    if (g->group.failed || msgpack_sbuffer_write(&o.buf, g->group.buf.data, g->group.buf.size))
        o.failed = true;
    wire_fini(&g->group);
    begin_group(g);
    if ((rc = client_ask(g->client, WIRE_ROWS, &o, e))) return rc;
    g->in_flight++;
    return ERR_OK;
}

static int add_to_group(struct ingest *g, const char *id, size_t id_len, int64_t line,
                        enum endpoint endpoint, const char *body, size_t body_len,
                        const struct row_error *bad, struct errmsg *e)
{
    wire_add_array(&g->group, 7);
    wire_add_str(&g->group, id, id_len);
    wire_add_int(&g->group, line);
    wire_add_int(&g->group, (int64_t)endpoint);
    wire_add_bin(&g->group, body, body_len);
    wire_add_str(&g->group, bad ? bad->code : "", bad ? strlen(bad->code) : 0);
    wire_add_str(&g->group, bad ? bad->message : "", bad ? strlen(bad->message) : 0);
    wire_add_str(&g->group, bad ? bad->param : "", bad ? strlen(bad->param) : 0);
    g->group_rows++;
    return g->group_rows >= GROUP_ROWS || g->group.buf.size >= WIRE_GROUP_BYTES ? send_group(g, e)
                                                                                : ERR_OK;
}

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

static void tell_bad(const struct ingest *g, const struct line *l, const struct row_error *bad)
{
    if (g->n->refused > TOLD_ERRORS) return;
    if (bad->column)
        fprintf(stderr, "line %lld, column %d: %s: %s\n", (long long)l->number, bad->column,
                bad->code, bad->message);
    else
        fprintf(stderr, "line %lld: %s: %s\n", (long long)l->number, bad->code, bad->message);
}

static int take_line(struct ingest *g, const struct line *l, bool only_check, struct errmsg *e)
{
    struct row_error bad = {0};
    char made[ROWID_BYTES];
    const char *id;
    size_t id_len;
    bool is_bad;

    if (key_row(g, l, made, &id, &id_len, &bad, &is_bad))
        return err_set(e, ERR_NOMEM, "out of memory");
    g->n->rows++;
    if (is_bad) {
        g->n->refused++;
        tell_bad(g, l, &bad);
    }
    if (only_check) return ERR_OK;
    if (!is_bad)
        return add_to_group(g, id, id_len, l->number, g->request.endpoint, g->request.body.data,
                            g->request.body.len, NULL, e);
    buf_clear(&g->spare);
    if (l->bytes && utf8_repair(&g->spare, l->bytes, l->len < KEEP_BYTES ? l->len : KEEP_BYTES))
        return err_set(e, ERR_NOMEM, "out of memory");
    return add_to_group(g, id, id_len, l->number, g->request.endpoint,
                        g->spare.data ? g->spare.data : "", g->spare.len, &bad, e);
}

static int take_file(struct ingest *g, int fd, bool only_check, struct errmsg *e)
{
    struct lines *lines = NULL;
    struct line l;
    int rc;

    if (rowid_open(&g->ids)) return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = lines_open(&lines, fd, g->o->format.max_bytes, e))) goto out;
    lines_wake(lines, g->o->signals);
    while (!(rc = lines_next(lines, &l, e))) {
        if (command_interrupted(g->o->signals)) {
            rc = err_set(e, ERR_INTERRUPTED,
                         "interrupted; the same command goes on where it stopped");
            break;
        }
        if ((rc = take_line(g, &l, only_check, e))) break;
    }
    if (rc == ERR_EMPTY) rc = send_group(g, e);
    while (!rc && g->in_flight > 0)
        rc = hear_one(g, e);
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
    if (!strcmp(o->file, "-") && o->strict) return spool_stdin(fd, o->signals, e);
    *fd = strcmp(o->file, "-") ? open(o->file, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    return *fd < 0 ? err_set(e, ERR_IO, "%s: %s", o->file, strerror(errno)) : ERR_OK;
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

static int ask_batch(struct ingest *g, struct errmsg *e)
{
    struct wire_out o;
    struct wire_msg m;
    int rc;

    wire_begin(&o, 4);
    wire_put_str(&o, "name", g->n->batch);
    wire_put_str(&o, "model", g->o->model);
    wire_put_int(&o, "priority", g->o->priority);
    wire_put_int(&o, "max_attempts", g->o->max_attempts);
    if ((rc = client_ask(g->client, WIRE_BATCH, &o, e))) return rc;
    if ((rc = client_hear(g->client, WIRE_BATCH_OK, &m, ACK_MS, e))) return rc;
    g->n->batch_id = wire_int(&m.map, "batch", 0);
    g->n->existed = wire_int(&m.map, "existed", 0);
    wire_msg_fini(&m);
    return ERR_OK;
}

/* G2 */
static int check_first(struct ingest *g, int fd, struct errmsg *e)
{
    struct ingest_counts *n = g->n;
    int rc;

    if (!g->o->strict) return ERR_OK;
    if ((rc = take_file(g, fd, true, e))) return rc;
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
    int fd = -1, rc;

    memset(n, 0, sizeof *n);
    client_wake(c, o->signals);
    request_init(&g.request);
    begin_group(&g);
    if ((rc = name_batch(o, n, e))) goto out;
    if ((rc = open_input(o, &fd, e))) goto out;
    if ((rc = check_first(&g, fd, e))) goto out;
    if ((rc = ask_batch(&g, e))) goto out;
    rc = take_file(&g, fd, false, e);
out:
    if (fd >= 0) close(fd);
    wire_fini(&g.group);
    request_fini(&g.request);
    buf_fini(&g.spare);
    return rc;
}

void ingest_report(const char *command, const struct ingest_counts *n)
{
    fprintf(stderr, "nightmill %s: batch %s: %lld rows, %lld new", command, n->batch,
            (long long)n->rows, (long long)n->added);
    if (n->same) fprintf(stderr, ", %lld there already", (long long)n->same);
    if (n->mended) fprintf(stderr, ", %lld mended", (long long)n->mended);
    if (n->replaced) fprintf(stderr, ", %lld replaced", (long long)n->replaced);
    if (n->refused)
        fprintf(stderr, ", %lld bad lines stored as failed rows", (long long)n->refused);
    fputc('\n', stderr);
    if (n->differs)
        fprintf(stderr,
                "nightmill %s: %lld rows have the id of a row with another body and were skipped; "
                "--replace "
                "runs them again\n",
                command, (long long)n->differs);
    for (int i = 0; i < n->ignored.n; i++)
        fprintf(stderr, "nightmill %s: field '%s' is not known and was ignored (%lld rows)\n",
                command, n->ignored.at[i].name, (long long)n->ignored.at[i].count);
}
