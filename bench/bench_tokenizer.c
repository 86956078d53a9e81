/* bench_tokenizer.c - text to ids and back, and how long a tokenizer takes to open, with Llama 3's
 * vocabulary and War and Peace, on one thread.
 *
 * Before anything is timed: the novel's ids decode to the novel, an opened image gives the same
 * ids, PCRE2 cuts it into the same words, and the rival, the PyPI package tokenizers on the same
 * file and text (hftokens.py, its own process and processor time), gives the same ids.  Memory is
 * what the process holds more once the image is mapped and the novel encoded by it, without text
 * and ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "bench/llama3.h"
#include "bench/race.h"
#include "bench/report.h"
#include "model/pattern.h"
#include "model/scanner.h"
#include "model/tokenizer.h"

#define WHOLE_MB_S   10   /* what we want at least, of encoding */
#define PROMPT_BYTES 2000 /* a short text: a call's own cost counts */

struct job {
    struct tokenizer *t;
    const struct buf *text;
    size_t part; /* bytes of one call; 0: all */
    struct ids ids;
    struct buf out;
    const struct buf *file, *image;
    const struct pattern *pattern;
    size_t n_words;
};

static void encode(void *arg)
{
    struct job *j = arg;
    const size_t part = j->part ? j->part : j->text->len;
    struct errmsg e;

    j->ids.n = 0;
    for (size_t at = 0; at < j->text->len; at += part) {
        const size_t left = j->text->len - at;

        if (tokenizer_encode(j->t, j->text->data + at, left < part ? left : part, 0, &j->ids, &e))
            report_fail("%s", e.text);
    }
}

static void decode(void *arg)
{
    struct job *j = arg;

    buf_clear(&j->out);
    if (tokenizer_decode(j->t, j->ids.at, j->ids.n, &j->out)) report_fail("no memory");
}

static void cut(void *arg)
{
    struct job *j = arg;
    struct pattern_scan scan;
    struct errmsg e;
    bool found = true;

    j->n_words = 0;
    if (pattern_scan_init(&scan, j->pattern, j->text->data, j->text->len)) report_fail("no memory");
    while (!pattern_next(&scan, &found, &e) && found)
        j->n_words++;
    pattern_scan_fini(&scan);
}

static void open_file(void *arg)
{
    const struct job *j = arg;
    struct tokenizer *t;
    struct errmsg e;

    if (tokenizer_parse(&t, j->file->data, j->file->len, "llama3", &e)) report_fail("%s", e.text);
    tokenizer_close(&t);
}

static void open_image(void *arg)
{
    const struct job *j = arg;
    struct tokenizer *t;
    struct errmsg e;

    if (tokenizer_load(&t, j->image->data, j->image->len, "image", &e)) report_fail("%s", e.text);
    tokenizer_close(&t);
}

static void tell(const char *name, double value, const char *unit, const char *against,
                 double ratio, double target)
{
    report_figure(&(struct figure){.bench = "tokenizer",
                                   .figure = name,
                                   .value = value,
                                   .unit = unit,
                                   .against = against,
                                   .ratio = ratio,
                                   .target = target});
}

static void check(struct job *j)
{
    struct job again = *j;
    struct errmsg e;

    encode(j);
    decode(j);
    if (j->out.len != j->text->len || memcmp(j->out.data, j->text->data, j->text->len))
        report_fail("the ids do not decode to the text");
    again.ids = (struct ids){0};
    if (tokenizer_load(&again.t, j->image->data, j->image->len, "image", &e))
        report_fail("%s", e.text);
    encode(&again);
    if (again.ids.n != j->ids.n || memcmp(again.ids.at, j->ids.at, j->ids.n * sizeof j->ids.at[0]))
        report_fail("the image gives other ids");
    tokenizer_close(&again.t);
    ids_fini(&again.ids);
}

/* Resident bytes of this process. */
static double resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long pages = 0;

    if (!f || fscanf(f, "%*s %ld", &pages) != 1) report_fail("no /proc/self/statm");
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* In a file of its own, so that its pages are counted where they are used. */
static void bench_memory(const struct job *j)
{
    FILE *f = tmpfile();
    struct job mapped = {.text = j->text};
    struct errmsg e;
    double before;
    void *at;

    if (!f || fwrite(j->image->data, 1, j->image->len, f) != j->image->len || fflush(f))
        report_fail("the image cannot be written");
    mapped.ids = j->ids; /* they are there */
    before = resident();
    at = mmap(NULL, j->image->len, PROT_READ, MAP_PRIVATE, fileno(f), 0);
    if (at == MAP_FAILED) report_fail("the image cannot be mapped");
    if (tokenizer_load(&mapped.t, at, j->image->len, "image", &e)) report_fail("%s", e.text);
    encode(&mapped);
    tell("resident memory of the tokenizer, mapped", (resident() - before) * 1e-6, "MB", NULL, 0,
         40);
    tokenizer_close(&mapped.t);
    munmap(at, j->image->len);
    fclose(f);
}

/* The PyPI package on one thread. */
struct hf {
    double open_s, encode_s; /* 0: not to be had */
};

static void write_file(const char *dir, const char *name, const struct buf *bytes, char path[256])
{
    FILE *f;

    snprintf(path, 256, "%s/%s", dir, name);
    f = fopen(path, "we");
    if (!f || fwrite(bytes->data, 1, bytes->len, f) != bytes->len || fclose(f))
        report_fail("%s cannot be written", path);
}

static struct hf run_hf(const struct job *j)
{
    char dir[] = "/tmp/nightmill-bench-XXXXXX", file[256], text[256], command[600];
    char hash[HASH_HEX], theirs[HASH_HEX] = "", line[256];
    struct hf hf = {0};
    size_t n = 0;
    FILE *p;

    if (!mkdtemp(dir)) report_fail("no temporary directory");
    write_file(dir, "tokenizer.json", j->file, file);
    write_file(dir, "text", j->text, text);
    snprintf(command, sizeof command, "sh bench/hftokens.sh '%s' '%s'", file, text);
    p = popen(command, "r");
    if (!p || !fgets(line, sizeof line, p) ||
        sscanf(line, "%lf %lf %zu %32s", &hf.open_s, &hf.encode_s, &n, theirs) != 4) {
        fputs("bench: SKIPPED: the PyPI package tokenizers, which cannot be had\n", stderr);
        hf = (struct hf){0};
    }
    if (p) (void)pclose(p);
    unlink(file), unlink(text), rmdir(dir);
    hash_hex(j->ids.at, j->ids.n * sizeof j->ids.at[0], hash);
    if (hf.open_s > 0 && (n != j->ids.n || strcmp(hash, theirs) != 0))
        report_fail("the PyPI package tokenizers gives other ids: %zu of them, not %zu", n,
                    j->ids.n);
    return hf;
}

static void bench_text(struct job *j, const struct hf *hf)
{
    const char *against = hf->open_s > 0 ? "tokenizers (PyPI)" : NULL;
    struct job prompts = {.t = j->t, .text = j->text, .part = PROMPT_BYTES};
    struct job fast = *j, slow = *j;
    struct pattern *by_hand, *pcre;
    struct errmsg e;

    if (pattern_open_regex(&by_hand, SCANNER_LLAMA3, &e) ||
        pattern_open_pcre(&pcre, SCANNER_LLAMA3, &e))
        report_fail("%s", e.text);
    fast.pattern = by_hand;
    slow.pattern = pcre;
    cut(&fast);
    cut(&slow);
    if (fast.n_words != slow.n_words) report_fail("PCRE2 cuts otherwise");

    struct rival r[] = {{.work = encode, .arg = j},
                        {.work = encode, .arg = &prompts},
                        {.work = decode, .arg = j},
                        {.work = cut, .arg = &fast},
                        {.work = cut, .arg = &slow}};
    const double mb = (double)j->text->len * 1e-6;

    race(r, 5);
    tell("encode, whole", mb / r[0].seconds, "MB/s", against, hf->encode_s / r[0].seconds,
         WHOLE_MB_S);
    tell("encode, 2000 bytes a call", mb / r[1].seconds, "MB/s", "whole",
         r[0].seconds / r[1].seconds, WHOLE_MB_S);
    tell("decode", mb / r[2].seconds, "MB/s", NULL, 0, 0);
    tell("cut into words", mb / r[3].seconds, "MB/s", "PCRE2", r[4].seconds / r[3].seconds, 0);
    pattern_close(&by_hand);
    pattern_close(&pcre);
    ids_fini(&prompts.ids);
}

static void bench_open(struct job *j, const struct hf *hf)
{
    const char *against = hf->open_s > 0 ? "tokenizers (PyPI)" : NULL;
    struct rival r[] = {{.work = open_file, .arg = j}, {.work = open_image, .arg = j}};

    race(r, 2);
    tell("open from tokenizer.json", r[0].seconds * 1e3, "ms", against,
         against ? r[0].seconds / hf->open_s : 0, 400);
    tell("open from image", r[1].seconds * 1e3, "ms", "tokenizer.json", r[1].seconds / r[0].seconds,
         100);
    tell("size of the image", (double)j->image->len * 1e-6, "MB", NULL, 0, 0);
}

int main(void)
{
    struct buf file = {0}, text = {0}, image = {0};
    struct job j = {.text = &text, .file = &file, .image = &image};
    struct errmsg e;
    struct hf hf;

    if (!llama3_file(&file) || !llama3_data(&text, "tokenizers/war-and-peace.txt.xz")) {
        fputs("bench_tokenizer: SKIPPED: no vocabulary or text below NIGHTMILL_TEST_DATA\n",
              stderr);
        return EXIT_SUCCESS;
    }
    if (tokenizer_parse(&j.t, file.data, file.len, "llama3", &e)) report_fail("%s", e.text);
    if (tokenizer_save(j.t, &image)) report_fail("no memory");
    check(&j);
    bench_memory(&j);
    hf = run_hf(&j);
    bench_text(&j, &hf);
    bench_open(&j, &hf);
    tokenizer_close(&j.t);
    ids_fini(&j.ids);
    buf_fini(&j.out), buf_fini(&file), buf_fini(&text), buf_fini(&image);
    return EXIT_SUCCESS;
}
