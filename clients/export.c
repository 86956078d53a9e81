/* export.c - a batch's finished rows out of the queue file. */
#include "clients/export.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/finished.h"
#include "clients/sink.h"

#define WRITE_BYTES ((size_t)1 << 20) /* gathered before a write */

/* The rows that are finished, each into its file. */
static int write_rows(struct finished *from, const struct export_opts *o, struct sink *out,
                      struct sink *errors, struct export_counts *n, struct errmsg *e)
{
    struct output_row r;
    int rc;

    while (!(rc = finished_next(from, &r, e))) {
        struct sink *s = r.error_code && errors->f ? errors : out;

        if (r.error_code)
            n->failed++;
        else
            n->done++;
        if ((rc = output_row(&s->lines, o->format, &r))) return err_set(e, rc, "out of memory");
        if (s->lines.len >= WRITE_BYTES && (rc = sink_write(s, e))) return rc;
    }
    if (rc != ERR_EMPTY) return rc;
    rc = sink_write(out, e);
    return rc ? rc : sink_write(errors, e);
}

static int write_head(struct sink *s, enum output_format format, struct errmsg *e)
{
    return s->f && output_head(&s->lines, format) ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;
}

/* Can a file of this name be made? */
static int check_place(const char *name, struct errmsg *e)
{
    char dir[PATH_MAX];
    const char *slash = name ? strrchr(name, '/') : NULL;

    if (!name) return ERR_OK;
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - name) + 1, name);
    if (!access(dir, W_OK)) return ERR_OK;
    return err_set(e, ERR_IO, "%s: the folder cannot be written: %s", name, strerror(errno));
}

int export_check(const struct export_opts *o, struct errmsg *e)
{
    int rc;

    if (sink_is_same(o->file, o->db) || sink_is_same(o->errors, o->db))
        return err_set(e, ERR_ARG, "%s: the output would take the queue file's place", o->db);
    if (sink_is_same(o->file, o->errors))
        return err_set(e, ERR_ARG, "%s: answers and errors cannot go to one file", o->file);
    if (sink_is_same(o->file, o->input) || sink_is_same(o->errors, o->input))
        return err_set(e, ERR_ARG, "%s: the output would take the input's place", o->input);
    if ((rc = check_place(o->file, e))) return rc;
    return check_place(o->errors, e);
}

int export_batch(const struct export_opts *o, struct export_counts *n, struct errmsg *e)
{
    struct sink out = {0}, errors = {0};
    struct finished *from = NULL;
    int rc, end;

    memset(n, 0, sizeof *n);
    if ((rc = export_check(o, e))) return rc;
    if ((rc = finished_open(&from, o->db, o->batch, o->unordered, e))) return rc;
    n->left = finished_left(from);
    if ((rc = sink_open(&out, o->file, true, e))) goto out;
    if ((rc = sink_open(&errors, o->errors, false, e))) goto out;
    rc = write_head(&out, o->format, e);
    if (!rc) rc = write_head(&errors, o->format, e);
    if (!rc) rc = write_rows(from, o, &out, &errors, n, e);
out:
    end = sink_close(&errors, !rc, rc ? NULL : e);
    if (!rc) rc = end;
    end = sink_close(&out, !rc, rc ? NULL : e);
    if (!rc) rc = end;
    finished_close(&from);
    return rc;
}
