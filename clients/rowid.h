/* rowid.h - the keys of one file's rows: their own ids, made ids, line keys; each used once.
 *
 * A row without custom_id is named by its body: 16 hex digits of hash64, and for the k-th
 * occurrence of that body, k from 2, "-k" behind them.  A row that cannot be read is "line-N".  A
 * made key that a row above has taken as its own id moves on to the next number, so that the same
 * file always gives the same keys.
 *
 * Ids are told apart by 64-bit hashes: among ten million, the chance that two different ones are
 * taken for the same is three in a million.
 *
 * Memory  16 bytes for each key, tables at least 70 % full once they have grown: at most 23 bytes
 *         a row, and 28 KiB at the start.
 * Errors  ERR_NOMEM; ERR_EXISTS from rowid_claim.
 */
#ifndef CLIENTS_ROWID_H
#define CLIENTS_ROWID_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ROWID_BYTES 40 /* the longest made key, with its NUL */

struct rowid;

int rowid_open(struct rowid **out) MUSTCHECK;
void rowid_close(struct rowid **r);

/* Takes the row's own id.  ERR_EXISTS: another line has it, *first_line says which. */
int rowid_claim(struct rowid *r, const char *id, size_t len, int64_t line,
                int64_t *first_line) MUSTCHECK;

/* Makes and takes the id of a row without one, from the text of its body. */
int rowid_make(struct rowid *r, const char *body, size_t len, int64_t line,
               char out[ROWID_BYTES]) MUSTCHECK;

/* Makes and takes the key of a row that is an error. */
int rowid_line(struct rowid *r, int64_t line, char out[ROWID_BYTES]) MUSTCHECK;

size_t rowid_memory(const struct rowid *r); /* bytes held */

#endif
