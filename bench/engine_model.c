/* engine_model.c - the random models that the engines compute with, written when they are wanted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine_figures.h"
#include "bench/report.h"

#define VOCAB "../shared/data/tokenizers/ggml-vocab-llama-bpe.gguf.xz"
#define SMALL "--hidden 128 --layers 2 --heads 4 --kv-heads 2 --head-dim 32 --feed 256 --vocab 512"

/* Of snprintf: was it cut? */
static void cut(int n)
{
    if (n < 0 || n >= PATH_MAX) report_fail("a path is longer than %d bytes", PATH_MAX);
}

void engine_model_path(struct engine_figures *f, enum engine_model which, const char *file,
                       char out[PATH_MAX])
{
    char dir[PATH_MAX], command[3 * PATH_MAX];

    cut(snprintf(dir, PATH_MAX, "%s/%s", f->folder, which == ENGINE_BIG ? "big" : "small"));
    cut(snprintf(out, PATH_MAX, "%s/%s", dir, "q8_0.gguf")); /* what is written last */
    if (access(out, R_OK)) {
        fprintf(stderr, "bench: writing a random model to %s\n", dir);
        snprintf(command, sizeof command, "mkdir -p '%s' && '%.*s/make_model' '%s' %s", dir,
                 (int)(strrchr(f->bed.dir, '/') - f->bed.dir), f->bed.dir, dir,
                 which == ENGINE_SMALL  ? SMALL
                 : !access(VOCAB, R_OK) ? "--vocab-file " VOCAB
                                        : "");
        if (system(command)) report_fail("%s", command);
    }
    cut(snprintf(out, PATH_MAX, "%s/%s", dir, file));
}
