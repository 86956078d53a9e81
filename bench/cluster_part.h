/* cluster_part.h - what the files of cluster.h share. */
#ifndef BENCH_CLUSTER_PART_H
#define BENCH_CLUSTER_PART_H

#include "base/heap.h"
#include "bench/batching.h"
#include "bench/cluster.h"
#include "bench/post.h"

struct member {            /* an instance */
    struct heap_node node; /* by the end of its run */
    struct cluster_instance i;
    struct batching b;
    struct sharing *sharing; /* b's; NULL: it remembers no prompts */
    bool is_here;
    int64_t asked, asked_tokens; /* that it asked for and was not given yet */
    int64_t held_tokens;         /* granted, as was predicted */
    struct cluster_work work;
};

/* TURN_BEGIN: the rows are submitted; TURN_LEAVE: the broker learns of an end. */
enum turn { TURN_JOIN, TURN_ASK, TURN_BEGIN, TURN_END, TURN_LEAVE };
struct moment {
    double at_s;
    int32_t instance;
    enum turn what;
};

struct cluster {
    struct cluster_opts o;
    const struct jobs *jobs;
    struct schedule *schedule;
    struct member *members;
    int32_t n_members;
    struct moment *moments; /* in order */
    size_t n_moments, next_moment;
    struct heap due;
    struct post up, down;
    struct seqs seqs;
    unsigned char *done; /* a bit for each row */
    double now_s, beat_s, tick_s, moved_s;
    int32_t next_beat;
    int64_t next_row, to_read;
    double prompt_tokens, answer_tokens; /* of the rows read; of those done */
    int64_t held;
    bool rest_is_told;
    struct cluster_result r;
};

/* The broker's part (cluster_broker.c). */
int broker_join(struct cluster *c, int32_t at) MUSTCHECK;
int broker_ask(struct cluster *c, int32_t at) MUSTCHECK;
int broker_leave(struct cluster *c, int32_t at) MUSTCHECK;
int broker_hear(struct cluster *c, const struct message *m) MUSTCHECK; /* SAY_RESULTS */
int broker_beat(struct cluster *c, int32_t at) MUSTCHECK;
int broker_tick(struct cluster *c) MUSTCHECK;
/* Calls o.rest. */
int cluster_tell_rest(struct cluster *c) MUSTCHECK;
int broker_begin(struct cluster *c) MUSTCHECK;

#endif
