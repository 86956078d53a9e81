/* row_error.h - why a row has no answer: a code for programs, a line for people.
 *
 * Units   line counts from 1; column counts characters from 1, 0 when there is none.
 * Errors  setting cuts what does not fit, at a character's end; control characters become '?'.
 */
#ifndef CLIENTS_ROW_ERROR_H
#define CLIENTS_ROW_ERROR_H

#include <stddef.h>
#include <stdint.h>

/* Where OpenAI's or Azure's check of a batch file has a code, it is ours. */
#define ROW_INVALID_JSON "invalid_json_line"     /* the line does not parse */
#define ROW_INVALID_UTF8 "invalid_utf8"          /* bytes that are no text */
#define ROW_INVALID      "invalid_request"       /* a field is missing, mistyped or out of range */
#define ROW_URL          "url_mismatch"          /* no endpoint of ours; strict: two in one file */
#define ROW_MODEL        "model_mismatch"        /* strict: two models in one file */
#define ROW_UNSUPPORTED  "unsupported_parameter" /* would change the answer, and we lack it */
#define ROW_TOO_LONG     "line_too_long"
#define ROW_DUPLICATE    "duplicate_custom_id"
#define ROW_EMPTY        "empty_file" /* strict: no rows at all */

struct row_error {
    const char *code; /* one of the above */
    char message[512];
    char param[128]; /* the field at fault, "messages[2].role"; empty: none */
    int64_t line;
    int column;
};

/* Fills all but the line.  param may be NULL. */
void row_error_set(struct row_error *err, const char *code, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The second row of one file with an id that an earlier line has. */
void row_error_duplicate(struct row_error *err, const char *id, size_t len, int64_t line,
                         int64_t first_line);

/* Copies text for a message: at most cap - 1 bytes and a NUL, cut at a character's end with "..."
 * behind it, control characters and malformed bytes as '?'. */
void row_error_quote(char *out, size_t cap, const char *s, size_t len);

#endif
