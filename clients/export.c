/* export.c - a batch's finished rows out of the queue file. */
#include "clients/export.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/finished.h"

#define WRITE_BYTES ((size_t)1 << 20) /* gathered before a write */

/* Does something stand under this name that is no file to be replaced: a pipe, a device? */
static bool is_special(const char *name)
{
    struct stat st;

    return !stat(name, &st) && !S_ISREG(st.st_mode);
}

/* One output file, or standard output. */
struct sink {
    FILE *f;
    const char *name; /* NULL: standard output, or a sink that is not used */
    char beside[PATH_MAX];
    struct buf lines; /* not yet written */
};

static int sink_open(struct sink *s, const char *name, bool use_stdout, struct errmsg *e)
{
    s->name = name;
    s->f = NULL;
    if (!name) {
        if (use_stdout) s->f = stdout;
        return ERR_OK;
    }
    if ((size_t)snprintf(s->beside, sizeof s->beside, "%s.part", name) >= sizeof s->beside)
        return err_set(e, ERR_ARG, "the output's path is longer than %d bytes", PATH_MAX);
    if (is_special(name)) snprintf(s->beside, sizeof s->beside, "%s", name);
    s->f = fopen(s->beside, "wb");
    return s->f ? ERR_OK : err_set(e, ERR_IO, "%s: %s", s->beside, strerror(errno));
}

static int sink_write(struct sink *s, struct errmsg *e)
{
    if (!s->lines.len) return ERR_OK;
    if (fwrite(s->lines.data, 1, s->lines.len, s->f) != s->lines.len)
        return err_set(e, ERR_IO, "%s: %s", s->name ? s->name : "standard output", strerror(errno));
    buf_clear(&s->lines);
    return ERR_OK;
}

/* X1 */
static int sink_close(struct sink *s, bool keep, struct errmsg *e)
{
    int bad;

    buf_fini(&s->lines);
    if (!s->f) return ERR_OK;
    if (!s->name) {
        bad = fflush(s->f);
        return bad ? err_set(e, ERR_IO, "standard output: %s", strerror(errno)) : ERR_OK;
    }
    bad = ferror(s->f) | fclose(s->f);
    s->f = NULL;
    if (!bad && !strcmp(s->beside, s->name)) return ERR_OK;
    if (keep && !bad && !rename(s->beside, s->name)) return ERR_OK;
    bad = errno;
    if (strcmp(s->beside, s->name)) remove(s->beside);
    return keep ? err_set(e, ERR_IO, "%s: %s", s->name, strerror(bad)) : ERR_OK;
}

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

/* Do two names mean one thing?  NULL means nothing. */
static bool is_same(const char *a, const char *b)
{
    struct stat sa, sb;

    if (!a || !b) return false;
    if (!strcmp(a, b)) return true;
    return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino &&
           S_ISREG(sa.st_mode);
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

    if (is_same(o->file, o->db) || is_same(o->errors, o->db))
        return err_set(e, ERR_ARG, "%s: the output would take the queue file's place", o->db);
    if (is_same(o->file, o->errors))
        return err_set(e, ERR_ARG, "%s: answers and errors cannot go to one file", o->file);
    if (is_same(o->file, o->input) || is_same(o->errors, o->input))
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
