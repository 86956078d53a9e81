/* test_scanner.c - the scanners against PCRE2, on random text of the characters that matter. */
#include "model/scanner.h"

#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "model/pattern.h"
#include "tests/test.h"

/* Characters that the regexes tell apart, of each length in UTF-8; no U+180E (S1), and none so new
 * that one library's tables may lack it. */
static const uint32_t CHARS[] = {
    ' ',    ' ',    ' ',    '\n',   '\r',   '\t',    0x0B,    0x0C,    0x1C,    0x00,
    '\'',   '\'',   's',    'S',    't',    'T',     'r',     'e',     'R',     'E',
    'v',    'm',    'M',    'l',    'L',    'd',     'D',     'a',     'Z',     '0',
    '5',    '9',    '.',    '!',    '-',    '_',     '$',     '<',     0x7F,    0x85,
    0xA0,   0xAA,   0xB2,   0xBD,   0xD7,   0xE9,    0x17F,   0x212A,  0x301,   0x345,
    0x661,  0x5D0,  0x905,  0x93F,  0xE01,  0x1680,  0x2003,  0x200B,  0x200D,  0x2014,
    0x2028, 0x2029, 0x202F, 0x205F, 0x2160, 0x2460,  0x3000,  0x3007,  0x3042,  0x4E2D,
    0xAC00, 0xFEFF, 0xFF11, 0xFFFD, 0xE000, 0x10400, 0x1D7CE, 0x1F600, 0x20000, 0x10FFFF,
};
#define N_CHARS (sizeof CHARS / sizeof CHARS[0])

static uint64_t state = 1;

static size_t draw(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

static void make_text(struct buf *b)
{
    size_t n = draw(24), few = draw(2) ? N_CHARS : 1 + draw(40), from = draw(N_CHARS);

    buf_clear(b);
    for (size_t i = 0; i < n; i++)
        (void)utf8_put(b, CHARS[(from + draw(few)) % N_CHARS]);
}

/* Check's asserts cost a system call each: one where there is something to say. */
static void compare(const struct pattern *fast, const struct pattern *slow, const struct buf *text)
{
    struct pattern_scan f, s;
    struct errmsg e;
    bool more_f = true, more_s = true;
    int rc = pattern_scan_init(&f, fast, text->data, text->len);

    if (!rc) rc = pattern_scan_init(&s, slow, text->data, text->len);
    while (!rc && more_f && more_s) {
        rc = pattern_next(&f, &more_f, &e);
        if (!rc) rc = pattern_next(&s, &more_s, &e);
        if (rc || more_f != more_s || (more_f && (f.begin != s.begin || f.end != s.end)))
            ck_abort_msg("'%s': scanner [%zu, %zu), PCRE2 [%zu, %zu), code %d", text->data, f.begin,
                         f.end, s.begin, s.end, rc);
    }
    pattern_scan_fini(&f);
    pattern_scan_fini(&s);
}

START_TEST(a_scanner_finds_the_words_of_its_regex)
{
    static const char *const REGEXES[] = {SCANNER_GPT2, SCANNER_LLAMA3, SCANNER_QWEN2};
    struct buf text = {0};

    for (size_t i = 0; i < 3; i++) {
        struct pattern *fast, *slow;
        struct errmsg e;

        ck_assert(scanner_for(REGEXES[i]) != NULL);
        ck_assert_int_eq(pattern_open_regex(&fast, REGEXES[i], &e), ERR_OK);
        ck_assert_int_eq(pattern_open_pcre(&slow, REGEXES[i], &e), ERR_OK);
        for (int k = 0; k < test_rounds(60000, 3000000); k++) {
            make_text(&text);
            compare(fast, slow, &text); /* S1 */
        }
        pattern_close(&fast);
        pattern_close(&slow);
    }
    buf_fini(&text);
    ck_assert(!scanner_for("\\s+"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("scanner");
    TCase *t = tcase_create("rules");

    tcase_add_test(t, a_scanner_finds_the_words_of_its_regex);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
