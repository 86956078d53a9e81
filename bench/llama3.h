/* llama3.h - Llama 3's vocabulary as a tokenizer.json, made from the ranks that its makers publish.
 *
 * Below NIGHTMILL_TEST_DATA (default ../shared/data): tokenizers/llama3-tokenizer.model.xz.  Every
 * way to cut a token into two tokens is a merge, as in the published tokenizer.json: 280,147.
 */
#ifndef BENCH_LLAMA3_H
#define BENCH_LLAMA3_H

#include <stdbool.h>

#include "base/buf.h"

/* All of an .xz file below the test data; false when it is not there. */
bool llama3_data(struct buf *out, const char *name);

/* The text of the tokenizer.json; false when its data is not there. */
bool llama3_file(struct buf *out);

#endif
