/* words.h - a benchmark's command line: numbers, and which groups of figures are asked for.
 *
 * Errors  a word that is no number ends the program (report_fail).
 */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include <stdbool.h>

long words_number(const char *s, long most); /* 1 to most */

/* Is name among the words?  No words ask for all. */
bool words_ask_for(char **words, const char *name);

#endif
