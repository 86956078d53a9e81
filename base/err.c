/* err.c - names and texts of failures. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct errmsg *e, int rc, const char *fmt, ...)
{
    va_list ap;

    if (!e) return rc;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return rc;
}

const char *err_name(int rc)
{
    static const char *const NAMES[] = {
        "ERR_OK",          "ERR_NOMEM",   "ERR_ARG",   "ERR_IO",          "ERR_FORMAT",
        "ERR_UNSUPPORTED", "ERR_DB",      "ERR_EMPTY", "ERR_STALE",       "ERR_FULL",
        "ERR_EXISTS",      "ERR_TIMEOUT", "ERR_CUDA",  "ERR_INTERRUPTED",
    };
    int n = (int)(sizeof NAMES / sizeof NAMES[0]);

    return rc <= 0 && -rc < n ? NAMES[-rc] : "ERR_?";
}
