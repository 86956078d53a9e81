/* scanner.h - the regexes that most tokenizer files use, by hand: the same words as PCRE2 finds, in
 * a fraction of the time.
 *
 * Known are, to the letter, the regexes of GPT-2, of Llama 3 (numbers by three) and of Qwen2
 * (numbers by one).  Each takes every character of a text, so words lie end to end.
 *
 * Threads  any: tables only.
 *
 * S1  a scanner's words are those of its regex, whatever the text (but for U+180E, see
 *     charclass.h).
 */
#ifndef MODEL_SCANNER_H
#define MODEL_SCANNER_H

#include <stddef.h>

#define SCANNER_GPT2                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SCANNER_LLAMA3                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                      \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SCANNER_QWEN2                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"                           \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The end of the word that begins at `at` < len in valid UTF-8. */
typedef size_t scanner(const char *text, size_t len, size_t at);

scanner *scanner_for(const char *regex); /* NULL: not known */

#endif
