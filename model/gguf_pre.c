/* gguf_pre.c - how words are cut, by the name that a GGUF has for it. */
#include "model/gguf_pre.h"

#include <stdio.h>
#include <string.h>

#include "model/scanner.h"

#define MAX_CUTS 6

/* A word by its capitals: what may begin it, capitals, small letters. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(behind)                                                                              \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" behind "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER  \
    "*" behind
#define CASED_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN     CASED("") "|\\p{N}" CASED_REST
#define GPT4O      CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") "|\\p{N}{1,3}" CASED_REST
/* DeepSeek's first model names its letters, signs and Han characters range by range. */
#define DEEPSEEK_LETTERS                                                                           \
    "\\s?["                                                                                        \
    "\\x{41}-\\x{5A}\\x{61}-\\x{7A}\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}"          \
    "\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}-\\x{377}"        \
    "\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}"                  \
    "\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"                         \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}"                 \
    "\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}"                 \
    "\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}"                 \
    "\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}"         \
    "\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"        \
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}"        \
    "\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}"          \
    "\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}"        \
    "\\x{214E}\\x{2183}-\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}"        \
    "\\x{2CF2}-\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"                 \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}"                 \
    "\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"               \
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}"         \
    "\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"                                                   \
    "]+"
#define DEEPSEEK_SIGNS                                                                             \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define HAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

static const struct way {
    const char *names; /* one space between two, and at both ends */
    bool ignore_merges, add_bos;
    const char *cuts[MAX_CUTS + 1]; /* regexes, one after the other; each match stands alone */
} WAYS[] = {
    {" llama-bpe llama3 llama-v3 falcon3 ", true, true, {SCANNER_LLAMA3}},
    {" dbrx smaug-bpe ", false, false, {SCANNER_LLAMA3}},
    {" qwen2 deepseek-r1-qwen stablelm2 ", false, false, {SCANNER_QWEN2}},
    {" gpt-2 phi-2 olmo mpt ", false, false, {SCANNER_GPT2}},
    {" smollm starcoder refact command-r codeshell ", false, false, {"\\p{N}", SCANNER_GPT2}},
    {" tekken ", true, true, {TEKKEN}},
    {" gpt-4o ", false, false, {GPT4O}},
    {" falcon ", false, false, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", SCANNER_GPT2, "[0-9][0-9][0-9]"}},
    {" deepseek-llm ",
     false,
     false,
     {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, "\\s+$", HAN, "\\p{N}+"}},
    {" deepseek-coder ", false, false, {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN, "\\p{N}"}},
};
#define N_WAYS (sizeof WAYS / sizeof WAYS[0])

static const struct way *find(const char *name, size_t len)
{
    char word[32];

    if (len + 3 > sizeof word || memchr(name, ' ', len)) return NULL;
    snprintf(word, sizeof word, " %.*s ", (int)len, name);
    for (size_t i = 0; i < N_WAYS; i++)
        if (len && strstr(WAYS[i].names, word)) return &WAYS[i];
    return NULL;
}

json_t *gguf_pre(const char *name, size_t len, bool *known, bool *ignore_merges, bool *add_bos)
{
    const struct way *w = find(name, len);
    json_t *steps;

    *known = w != NULL;
    if (!w) return NULL;
    *ignore_merges = w->ignore_merges;
    *add_bos = w->add_bos;
    steps = json_array();
    for (size_t i = 0; w->cuts[i]; i++)
        if (json_array_append_new(steps,
                                  json_pack("{ss s{ss} ss sb}", "type", "Split", "pattern", "Regex",
                                            w->cuts[i], "behavior", "Isolated", "invert", 0)))
            goto nomem;
    if (json_array_append_new(steps,
                              json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space", 0,
                                        "trim_offsets", 0, "use_regex", 0)))
        goto nomem;
    return json_pack("{ss so}", "type", "Sequence", "pretokenizers", steps);
nomem:
    json_decref(steps);
    return NULL;
}

void gguf_pre_names(char *out, size_t size)
{
    size_t at = 0;

    out[0] = 0;
    for (size_t i = 0; i < N_WAYS; i++)
        for (const char *c = WAYS[i].names + 1; *c && at + 3 < size; c++) {
            if (*c == ' ' && (c[1] || i + 1 < N_WAYS)) out[at++] = ',';
            if (*c != ' ' || c[1] || i + 1 < N_WAYS) out[at++] = *c;
            out[at] = 0;
        }
}
