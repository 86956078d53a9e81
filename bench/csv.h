/* csv.h - rows of a table of the shared data, plain or gzipped.
 *
 * Below NIGHTMILL_TEST_DATA (default ../shared/data), read in place.  Cells are parted by commas,
 * and those that are asked for hold none.
 *
 * Errors   the program ends (report_fail): a file or a column that is not there, a cell that is no
 *          number.
 */
#ifndef BENCH_CSV_H
#define BENCH_CSV_H

#include <stdbool.h>

struct csv;

struct csv *csv_open(const char *name);
bool csv_next(struct csv *c); /* false behind the last row */
void csv_close(struct csv **c);

/* Of the row; text until the next one. */
const char *csv_text(const struct csv *c, const char *column);
double csv_number(const struct csv *c, const char *column);
int csv_int(const struct csv *c, const char *column);
bool csv_is(const struct csv *c, const char *column, const char *text);

#endif
