/* gguf_pre.c - how words are cut, by the name that a GGUF has for it. */
#include "model/gguf_pre.h"

#include <stdio.h>
#include <string.h>

#define MAX_CUTS 5

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* The same beginning and end; between them how many digits stand together. */
#define LLAMA3(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* A word by its capitals: what may begin it, capitals, small letters. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(behind)                                                                              \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" behind "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER  \
    "*" behind
#define CASED_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN     CASED("") "|\\p{N}" CASED_REST
#define GPT4O      CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") "|\\p{N}{1,3}" CASED_REST
/* DeepSeek's first model names its letters one range after the other. */
#define DEEPSEEK_LETTERS                                                                                                                                                                                                    \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-"                                                                                  \
    "ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅ"                                                                                                                                                                         \
    "ὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-" \
    "ꞎ"                                                                                                                                                                                                                   \
    "ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]"                                                                                                                   \
    "+"
#define HAN "[一-龥ࠀ-一가-퟿]+"

static const struct way {
    const char *names; /* one space between two, and at both ends */
    bool ignore_merges, add_bos;
    const char *cuts[MAX_CUTS + 1]; /* regexes, one after the other; each match stands alone */
} WAYS[] = {
    {" llama-bpe llama3 llama-v3 falcon3 ", true, true, {LLAMA3("\\p{N}{1,3}")}},
    {" dbrx smaug-bpe ", false, false, {LLAMA3("\\p{N}{1,3}")}},
    {" qwen2 deepseek-r1-qwen stablelm2 ", false, false, {LLAMA3("\\p{N}")}},
    {" gpt-2 phi-2 olmo mpt ", false, false, {GPT2}},
    {" smollm starcoder refact command-r codeshell ", false, false, {"\\p{N}", GPT2}},
    {" tekken ", true, true, {TEKKEN}},
    {" gpt-4o ", false, false, {GPT4O}},
    {" falcon ", false, false, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {" deepseek-llm ",
     false,
     false,
     {"[\\r\\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", HAN "|\\p{N}+"}},
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
