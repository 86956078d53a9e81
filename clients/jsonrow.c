/* jsonrow.c - a query's row as one line of JSON. */
#include "clients/jsonrow.h"

#include <jansson.h>

static json_t *value(sqlite3_stmt *st, int i)
{
    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER: return json_integer(sqlite3_column_int64(st, i));
    case SQLITE_FLOAT: return json_real(sqlite3_column_double(st, i));
    case SQLITE_NULL: return json_null();
    default:
        return json_stringn((const char *)sqlite3_column_text(st, i),
                            (size_t)sqlite3_column_bytes(st, i));
    }
}

int jsonrow_print(sqlite3_stmt *st, FILE *f)
{
    json_t *row = json_object();
    int bad = !row;

    for (int i = 0; !bad && i < sqlite3_column_count(st); i++)
        bad = json_object_set_new(row, sqlite3_column_name(st, i), value(st, i));
    bad = bad || json_dumpf(row, f, JSON_COMPACT);
    if (!bad) putc('\n', f);
    json_decref(row);
    return bad ? ERR_NOMEM : ERR_OK;
}
