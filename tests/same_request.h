/* same_request.h - a line read in the short way and in full, for the suites and the fuzzer. */
#ifndef TESTS_SAME_REQUEST_H
#define TESTS_SAME_REQUEST_H

#include "clients/request.h"

/* Reads the line both ways and asserts that the verdicts, the requests and the counts are the same
 * (S1).  Gives what request_parse gave. */
int same_request(struct request *q, const struct line *l, const struct request_format *f,
                 struct field_counts *ignored, struct row_error *err);

#endif
