/* scanner.c - the regexes that most tokenizer files use, by hand. */
#include "model/scanner.h"

#include <stdbool.h>
#include <string.h>

#include "model/charclass.h"

/* The end of the run of this class, at most `most` characters, from `at` on. */
static size_t run_end(const char *text, size_t len, size_t at, enum charclass class, size_t most)
{
    for (size_t n; most-- && at < len && charclass_at(text + at, len - at, &n) == class;)
        at += n;
    return at;
}

/* The class of the character at `at`; CHAR_SPACE at the end, which begins no word. */
static enum charclass class_at(const char *text, size_t len, size_t at, size_t *n)
{
    *n = 0;
    return at < len ? charclass_at(text + at, len - at, n) : CHAR_SPACE;
}

static bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

/* Bytes of 's, 't, 're, 've, 'm, 'll, 'd at the apostrophe s, 0 when it is none of them.  With
 * `fold` capitals will do, and U+017F, which folds to s. */
static size_t contraction(const char *s, size_t len, bool fold)
{
    const char mask = fold ? (char)~0x20 : (char)~0;
    const char case_bit = fold ? 0x20 : 0;
    char a, b;

    if (len < 2) return 0;
    a = (char)((s[1] & mask) | case_bit);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (len < 3) return 0;
    if (fold && s[1] == '\xC5' && s[2] == '\xBF') return 3;
    b = (char)((s[2] & mask) | case_bit);
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

/* \s+(?!\S)|\s+ at white space: all of it at the end of the text; else but its last character,
 * which goes with what follows. */
static size_t space_end(const char *text, size_t len, size_t at)
{
    size_t end = at, last = at, n;

    while (end < len && charclass_at(text + end, len - end, &n) == CHAR_SPACE) {
        last = end;
        end += n;
    }
    return end == len || last == at ? end : last;
}

static size_t scan_gpt2(const char *text, size_t len, size_t at)
{
    const size_t whole = (size_t)-1;
    size_t n, next;
    enum charclass class = charclass_at(text + at, len - at, &n);

    if (text[at] == '\'' && (n = contraction(text + at, len - at, false))) return at + n;
    if (class != CHAR_SPACE) return run_end(text, len, at, class, whole);
    if (text[at] == ' ') {
        class = class_at(text, len, at + 1, &next);
        if (class != CHAR_SPACE) return run_end(text, len, at + 1, class, whole);
    }
    return space_end(text, len, at);
}

/* [^\s\p{L}\p{N}]+[\r\n]* */
static size_t marks_end(const char *text, size_t len, size_t at)
{
    at = run_end(text, len, at, CHAR_OTHER, (size_t)-1);
    while (at < len && is_newline(text[at]))
        at++;
    return at;
}

/* \s*[\r\n]+ and then as above: up to the last newline of the white space, if it has one. */
static size_t lines_end(const char *text, size_t len, size_t at)
{
    size_t end = at, newline = 0, n;

    while (end < len && charclass_at(text + end, len - end, &n) == CHAR_SPACE) {
        if (is_newline(text[end])) newline = end + 1;
        end += n;
    }
    return newline ? newline : space_end(text, len, at);
}

static size_t scan_words(const char *text, size_t len, size_t at, size_t digits)
{
    const size_t whole = (size_t)-1;
    size_t n, next;
    enum charclass class = charclass_at(text + at, len - at, &n), behind;

    if (class == CHAR_LETTER) return run_end(text, len, at + n, class, whole);
    if (class == CHAR_NUMBER) return run_end(text, len, at + n, class, digits - 1);
    if (text[at] == '\'' && (next = contraction(text + at, len - at, true))) return at + next;
    if (is_newline(text[at])) return lines_end(text, len, at);
    behind = class_at(text, len, at + n, &next);
    if (behind == CHAR_LETTER) return run_end(text, len, at + n + next, behind, whole);
    if (class == CHAR_OTHER) return marks_end(text, len, at);
    if (text[at] == ' ' && behind == CHAR_OTHER) return marks_end(text, len, at + 1);
    return lines_end(text, len, at);
}

static size_t scan_llama3(const char *text, size_t len, size_t at)
{
    return scan_words(text, len, at, 3);
}

static size_t scan_qwen2(const char *text, size_t len, size_t at)
{
    return scan_words(text, len, at, 1);
}

scanner *scanner_for(const char *regex)
{
    static const struct {
        const char *regex;
        scanner *scan;
    } KNOWN[] = {
        {SCANNER_GPT2, scan_gpt2}, {SCANNER_LLAMA3, scan_llama3}, {SCANNER_QWEN2, scan_qwen2}};

    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (!strcmp(regex, KNOWN[i].regex)) return KNOWN[i].scan;
    return NULL;
}
