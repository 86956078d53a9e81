/* rows.h - the rows that every store, broker and rival is given: made from their number alone. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/wire.h"

#define ROWS_BODY_BYTES 400
#define ROWS_ID_BYTES   40

uint64_t rows_mix(uint64_t x); /* as good as a hash */

/* Row n counts from 0; the text is borrowed from `room`. */
struct wire_text rows_id(char room[ROWS_ID_BYTES], int64_t n, bool uuid);
struct wire_text rows_body(char room[ROWS_BODY_BYTES + 1], int64_t n);

/* n rows as an input file. */
void rows_write(const char *path, int64_t n, bool uuids);

/* n rows into a queue file that no broker serves, as a batch `bench`, behind the `from` rows that
 * are there; done: with an answer each.  By SQL alone, not durable, the indexes made at the end. */
void rows_fill(const char *path, int64_t from, int64_t n, bool done);

#endif
