/* engine_flags.c - the options of a worker's engine, from words to values. */
#include "clients/engine_flags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "worker/place.h"

static int kv_dtype(const char *name, struct worker_opts *o, struct errmsg *e)
{
    o->kv_dtype = N_DTYPES;
    if (!strcmp(name, "auto")) return ERR_OK;
    for (int d = 0; d < N_DTYPES; d++)
        if ((dtype_is_float((enum dtype)d) || d == DTYPE_FP8) &&
            !strcmp(name, dtype_name((enum dtype)d))) {
            o->kv_dtype = (enum dtype)d;
            return ERR_OK;
        }
    return err_set(e, ERR_ARG, "--kv-cache-dtype is '%s', not auto, f32, f16, bf16 or fp8", name);
}

static int act_dtype(const char *name, struct worker_opts *o, struct errmsg *e)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } KNOWN[] = {{"auto", N_DTYPES},       {"float32", DTYPE_F32}, {"float16", DTYPE_F16},
                 {"bfloat16", DTYPE_BF16}, {"float", DTYPE_F32},   {"half", DTYPE_F16},
                 {"f32", DTYPE_F32},       {"f16", DTYPE_F16},     {"bf16", DTYPE_BF16}};

    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (!strcmp(name, KNOWN[i].name)) {
            o->act = KNOWN[i].dtype;
            return ERR_OK;
        }
    return err_set(e, ERR_ARG, "--dtype is '%s', not auto, float32, float16 or bfloat16", name);
}

static int quantization(const char *name, struct worker_opts *o, struct errmsg *e)
{
    static const char *const NAMES[] = {
        [QUANTIZATION_NONE] = "none", [QUANTIZATION_FP8] = "fp8", [QUANTIZATION_INT8] = "int8"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (!strcmp(name, NAMES[i])) {
            o->quantization = (enum quantization)i;
            return ERR_OK;
        }
    return err_set(e, ERR_ARG, "--quantization is '%s', not none, fp8 or int8", name);
}

/* N[,M...] */
static int sm_counts(const char *text, struct worker_opts *o, struct errmsg *e)
{
    while (text && *text) {
        char *end;
        const long n = strtol(text, &end, 10);

        if (!isdigit((unsigned char)*text) || n < 1 || n > 9999 || (*end && *end != ',') ||
            (*end && !end[1]))
            return err_set(e, ERR_ARG, "--sm-count: '%s' is not N or N,M,... of 1 to 9999", text);
        if (o->n_parts == WORKER_MAX_PARTS)
            return err_set(e, ERR_ARG, "--sm-count names more than %d instances", WORKER_MAX_PARTS);
        o->sm_counts[o->n_parts++] = (int)n;
        text = *end ? end + 1 : end;
    }
    return ERR_OK;
}

/* What only a CUDA device does. */
static int check_device(const struct engine_flags *f, const struct worker_opts *o, struct errmsg *e)
{
    const char *flag = o->n_parts                             ? "--sm-count"
                       : o->quantization != QUANTIZATION_NONE ? "--quantization"
                       : o->act == DTYPE_F16                  ? "--dtype float16"
                       : o->act == DTYPE_BF16                 ? "--dtype bfloat16"
                       : o->kv_dtype == DTYPE_FP8             ? "--kv-cache-dtype fp8"
                                                              : NULL;

    if (!flag || place_is_cuda(f->device)) return ERR_OK;
    return err_set(e, ERR_ARG, "%s is for CUDA devices, and --device is '%s'", flag, f->device);
}

int engine_flags_apply(const struct engine_flags *f, struct worker_opts *o, struct errmsg *e)
{
    int rc;

    o->device = f->device;
    o->context_dir = f->context_dir;
    o->no_prefix_caching = !f->prefix_caching;
    o->batch_invariant = f->batch_invariant;
    o->memory_utilization = f->memory_utilization;
    o->tp = (int)f->tp;
    o->threads = (int)f->threads;
    o->kv_bytes = f->kv_bytes;
    o->max_num_seqs = (int)f->max_num_seqs;
    o->max_batched_tokens = (int)f->max_batched_tokens;
    o->max_model_len = (int)f->max_model_len;
    o->default_max_tokens = f->default_max_tokens;
    o->profile_seconds = (double)f->profile_seconds;
    if ((rc = kv_dtype(f->kv_dtype, o, e))) return rc;
    if ((rc = act_dtype(f->dtype, o, e))) return rc;
    if ((rc = quantization(f->quantization, o, e))) return rc;
    if ((rc = sm_counts(f->sm_counts, o, e))) return rc;
    return check_device(f, o, e);
}
