/* model_out.h - a random model, written as a model directory and as GGUF files.
 *
 * Errors  end the program (report_fail); a file is there under its name only when it is whole.
 */
#ifndef BENCH_MODEL_OUT_H
#define BENCH_MODEL_OUT_H

#include "bench/random_model.h"
#include "bench/vocab_file.h"

enum model_type { MODEL_F32 = 0, MODEL_Q8_0 = 8, MODEL_BF16 = 30 }; /* GGUF's numbers */

/* config.json, generation_config.json, model.safetensors in bf16, the tokenizer. */
void model_out_dir(const struct random_model *m, const struct vocab_file *v, const char *dir);

/* Matrices of this type, norms in F32. */
void model_out_gguf(const struct random_model *m, const struct vocab_file *v, const char *path,
                    enum model_type type);

#endif
