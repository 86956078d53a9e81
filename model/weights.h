/* weights.h - named tensors in files, mapped read-only.
 *
 * Reads safetensors (one file, or the shards that model.safetensors.index.json names) and GGUF.
 * Nothing is copied: a tensor is a view into the mapping and lives as long as the weights.  A
 * GGUF's tensors have the names that they have in Hugging Face's files.
 *
 * Threads    immutable after open; any thread may read.
 * Ownership  weights_open/weights_close; every view is borrowed.
 * Errors     ERR_IO (errno in the text), ERR_FORMAT for a lying or truncated file: one line that
 * names the file, the tensor and the number; ERR_UNSUPPORTED for a dtype that is not known, with
 * the list of what is.
 *
 * W1  no view reaches outside its file: header length, offsets, shape products and overlaps are
 *     checked at open.
 * W2  a tensor's bytes are those that its shape and dtype give.
 * W3  nothing is read at open but headers: the pages of a tensor come when they are touched.
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

#define TENSOR_MAX_DIMS 4

struct tensor {
    const char *name;
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS]; /* slowest axis first */
    const void *data;               /* borrowed: in the mapping; aligned to the dtype */
    size_t bytes;
};

struct weights;
struct gguf;

/* path is a model directory, one .safetensors file or one .gguf file. */
int weights_open(struct weights **out, const char *path, struct errmsg *e) MUSTCHECK;
void weights_close(struct weights **w);

/* NULL when there is no tensor of that name. */
const struct tensor *weights_find(const struct weights *w, const char *name);
int weights_count(const struct weights *w);
const struct tensor *weights_at(const struct weights *w, int i);

/* What most of the layers' matrices are stored in. */
enum dtype weights_dtype(const struct weights *w);

/* The first matrix of floats with numbers that f16 has not, 65,520 and beyond; NULL: there is none.
 * *n: how many; *largest: of them.  The layers' matrices are left out where layers is false. */
const struct tensor *weights_over_f16(const struct weights *w, bool layers, size_t *n,
                                      float *largest);

/* The GGUF that holds the tensors, whose metadata is the model's configuration; NULL when they came
 * from safetensors. */
const struct gguf *weights_gguf(const struct weights *w);

/* The path of the i-th file that holds tensors, in the order of the index; NULL behind the last. */
const char *weights_file(const struct weights *w, int i);

#endif
