/* chains.h - rows whose prompts begin alike: each is a chain of pieces, and a piece stands for all
 * of the prompt up to its end.
 *
 * They are made up (many rows behind few beginnings), or those of a published trace, which names
 * every 512 tokens of a prompt.  A row's group is what `nightmill submit` would find:
 * clients/prefix is asked, with a key at each of its lengths.
 *
 * Units    tokens; BYTES_A_TOKEN of text each, where prefix.h counts bytes.
 * Threads  one.
 * Errors   ERR_IO, ERR_FORMAT: the trace, with its line; ERR_NOMEM.
 *
 * CN1  a row's pieces end before its prompt does.
 * CN2  two rows that have a piece in common have all pieces before it in common.
 */
#ifndef BENCH_CHAINS_H
#define BENCH_CHAINS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct chain_row {
    int32_t prompt, answer;
    int64_t group;         /* 0: none */
    const int32_t *pieces; /* [n] numbers of pieces, from 0; borrowed */
    int32_t n;
};

struct chains;

/* n rows behind `beginnings` of so many tokens each, in turn, with 1 to own_tokens of their own. */
int chains_draw(struct chains **out, int64_t n, int32_t beginnings, int32_t tokens,
                int32_t own_tokens, int32_t answer_tokens, struct errmsg *e) MUSTCHECK;
/* A file of lines {"input_length", "output_length", "hash_ids"} in xz. */
int chains_read(struct chains **out, const char *path, struct errmsg *e) MUSTCHECK;
void chains_close(struct chains **c);

/* Into the order in which a broker reads them: group by group, each in the order that it had. */
void chains_sort(struct chains *c);

int64_t chains_count(const struct chains *c);
int32_t chains_pieces(const struct chains *c);
int32_t chains_tokens(const struct chains *c, int32_t piece);
void chains_at(const struct chains *c, int64_t row, struct chain_row *out);

int64_t chains_prompt_tokens(const struct chains *c); /* of all rows */
/* Of those, the tokens that need not be computed when each piece is computed once: no placement
 * of the rows on instances, with whatever memory, saves more. */
int64_t chains_best(const struct chains *c);

#endif
