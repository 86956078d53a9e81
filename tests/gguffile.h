/* gguffile.h - a GGUF made by the test that needs one, good or lying.
 *
 * Keys and tensors come in the order of the calls; every call ends the test when memory runs out.
 */
#ifndef TESTS_GGUFFILE_H
#define TESTS_GGUFFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct gguffile {
    struct buf keys, infos, data;
    uint64_t n_keys, n_tensors;
    uint32_t version;   /* 0: 3 */
    uint32_t alignment; /* 0: 32; only where the data is put */
};
void gguffile_fini(struct gguffile *f);

void gguffile_u32(struct gguffile *f, const char *key, uint32_t v);
void gguffile_f32(struct gguffile *f, const char *key, float v);
void gguffile_bool(struct gguffile *f, const char *key, bool v);
void gguffile_text(struct gguffile *f, const char *key, const char *v);
void gguffile_u32s(struct gguffile *f, const char *key, const uint32_t *v, size_t n);
void gguffile_f32s(struct gguffile *f, const char *key, const float *v, size_t n);
void gguffile_texts(struct gguffile *f, const char *key, const char *const *v, size_t n);
/* Any type number and bytes. */
void gguffile_raw(struct gguffile *f, const char *key, uint32_t type, const void *at, size_t n);

/* dims: fastest first, as the file has them.  bytes: of its data, put at the next place, each byte
 * its own position from 0; data: or these bytes. */
void gguffile_tensor(struct gguffile *f, const char *name, uint32_t type, const uint64_t *dims,
                     uint32_t n_dims, size_t bytes, const void *data);
/* An entry without data, at any offset. */
void gguffile_entry(struct gguffile *f, const char *name, uint32_t type, const uint64_t *dims,
                    uint32_t n_dims, uint64_t offset);

/* The whole file. */
void gguffile_bytes(const struct gguffile *f, struct buf *out);
/* The same below test_dir(), its path. */
const char *gguffile_write(const struct gguffile *f, const char *name);

/* The keys and, in zeros, the embedding that a small model of this architecture needs. */
void gguffile_model(struct gguffile *f, const char *arch);

#endif
