/* plan_input.h - what a plan is made from, beside the rows: the model, the machines, and what was
 * measured of the one on the others.
 *
 * Machines are those of a cluster file; else the nodes that are here, by the queue file; else this
 * machine.  A profile is the latest one that a worker of this model sent from such a machine.
 *
 * Threads    one.
 * Ownership  caller's storage: zero, plan_input_fini.
 * Errors     ERR_ARG with the word or the card; ERR_IO, ERR_FORMAT, ERR_DB with the file.
 */
#ifndef CLIENTS_PLAN_INPUT_H
#define CLIENTS_PLAN_INPUT_H

#include "broker/plan.h"
#include "clients/machine.h"
#include "model/model.h"
#include "worker/prompt.h"

#define PLAN_INPUT_PROFILES 64

struct plan_input {
    char name[MODEL_NAME];
    struct model_config config;
    enum dtype stored;
    struct tokenizer *tokenizer;
    struct chat *chat; /* NULL: none, and why */
    struct errmsg why_no_chat;
    int max_len;
    struct plan_model model;

    struct plan_cluster *cluster;
    char devices[PLAN_MACHINES][PLAN_DEVICES][24]; /* as --device takes them */
    char hosts[PLAN_MACHINES][64];                 /* "": of a cluster file */
    char from[128];                                /* where the machines are from, for people */

    int n_profiles;
    struct plan_profile profiles[PLAN_INPUT_PROFILES];
    char profile_devices[PLAN_INPUT_PROFILES][64];
};

struct plan_input_opts {
    const char *model, *dtypes, *kv_dtypes; /* lists of words, commas between them; "auto" */
    int max_num_seqs, max_batched_tokens;
    int max_model_len;   /* 0: the model's */
    const char *cluster; /* NULL: no file */
    const char *db;
};

int plan_input_open(struct plan_input *in, const struct plan_input_opts *o,
                    struct errmsg *e) MUSTCHECK;
void plan_input_fini(struct plan_input *in);

struct prompt_source plan_input_source(const struct plan_input *in);

/* "cuda:0,1", "cpu": what an instance's worker is told. */
void plan_input_devices(const struct plan_input *in, const struct plan_instance *i, char out[64]);

#endif
