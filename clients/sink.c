/* sink.c - a file that appears whole, or standard output. */
#include "clients/sink.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Does something stand under this name that is no file to be replaced: a pipe, a device? */
static bool is_special(const char *name)
{
    struct stat st;

    return !stat(name, &st) && !S_ISREG(st.st_mode);
}

int sink_open(struct sink *s, const char *name, bool use_stdout, struct errmsg *e)
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

int sink_write(struct sink *s, struct errmsg *e)
{
    if (!s->lines.len) return ERR_OK;
    if (fwrite(s->lines.data, 1, s->lines.len, s->f) != s->lines.len)
        return err_set(e, ERR_IO, "%s: %s", s->name ? s->name : "standard output", strerror(errno));
    buf_clear(&s->lines);
    return ERR_OK;
}

int sink_close(struct sink *s, bool keep, struct errmsg *e)
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

bool sink_is_same(const char *a, const char *b)
{
    struct stat sa, sb;

    if (!a || !b) return false;
    if (!strcmp(a, b)) return true;
    return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino &&
           S_ISREG(sa.st_mode);
}
