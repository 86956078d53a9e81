/* missing_cuda.h - ops of the CUDA table that their own headers do not name yet. */
#ifndef KERNELS_MISSING_CUDA_H
#define KERNELS_MISSING_CUDA_H

#include "kernels/ops.h"

int step_begin(struct ragged *on, const struct ragged *r, struct stream *s);
int convert_cuda(const struct weight *to, const struct weight *from, struct stream *s);
int embed_cuda(void *x, const struct weight *w, float scale, const struct ragged *r,
               struct stream *s);
int rmsnorm_cuda(void *y, const void *x, const float *w, int T, int D, float eps, struct stream *s);
int add_rmsnorm_cuda(void *y, void *x, const void *a, const float *w, int T, int D, float eps,
                     struct stream *s);
int rope_kv_cuda(void *q, void *k, const void *v, const struct kv_layer *kv, const struct ragged *r,
                 const struct rope_shape *a, struct stream *s);
int attn_cuda(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
              const struct attn_shape *a, struct stream *s);
int glu_cuda(void *y, const void *gate, const void *up, int T, int F, int step, enum glu g,
             struct stream *s);
int add_cuda(void *x, const void *y, int T, int D, struct stream *s);
int softcap_cuda(float *x, int T, int D, float cap, struct stream *s);
int gather_cuda(void *y, const void *x, const struct ragged *r, int D, struct stream *s);
int choose_cuda(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
                struct stream *s);

#endif
