/* schedule_part.h - what the files of the scheduler share; nobody else includes it.
 *
 * The pool: for each model its levels (one a priority), in a level the lanes (one a batch) by what
 * they were given, in a lane the jobs by class of size, or by prefix group.
 *
 *   schedule.c           events in, decisions out
 *   schedule_hold.c      jobs change hands
 *   schedule_pool.c      the pool
 *   schedule_pick.c      which of its jobs an instance is to have next
 *   schedule_speed.c     what a job costs an instance, and when it will be through
 *   schedule_sized.c     POLICY_SIZED and POLICY_PULL: who asked is topped up
 *   schedule_tail.c      the end of POLICY_SIZED
 *   schedule_baseline.c  policies that give in turn
 */
#ifndef BROKER_SCHEDULE_PART_H
#define BROKER_SCHEDULE_PART_H

#include "base/heap.h"
#include "base/idmap.h"
#include "broker/schedule.h"

#define SCHEDULE_CLASSES 64 /* by prompt and answer: bits of a mask */
#define SCHEDULE_HOMES   8  /* groups that an instance is known to have, the latest */

struct job {
    int64_t id;
    struct lane *lane;
    struct group *group;     /* NULL: it shares no prefix */
    struct job *next, *prev; /* in its list: of the pool, or of its holder */
    struct member *holder;   /* NULL: in the pool */
    struct job *twin;        /* the same job at another instance */
    int32_t prompt_tokens;   /* by estimate */
    int32_t max_tokens;      /* 0: not limited */
    int32_t known_tokens;    /* of the answer; -1: predicted */
    int32_t output_tokens;   /* predicted, as it is charged */
    int32_t need_tokens;     /* found to be needed, or what is expected */
    float seconds;           /* charged to its holder and its lane */
    float begin_s;           /* after the scheduler's start: when it was expected to begin */
    uint32_t order;          /* as they came */
    uint8_t class;           /* of size */
    bool need_is_found : 1;  /* an instance said so */
    bool was_moved : 1;      /* it was taken back: once is enough */
    bool is_forgotten : 1;   /* out of the pool for good once it ends */
};

/* Jobs that may be granted, the oldest first. */
struct job_list {
    struct job *head, *tail;
    int64_t n;
    int32_t least_need; /* none needs less; exact or too small */
};

struct group {
    int64_t key;
    struct lane *lane;
    struct job_list pooled;
    struct group *next, *prev; /* among the lane's with pooled jobs, or among the idle ones */
    int64_t n_granted;
    int64_t home; /* the instance that was given its first job, or its latest new one; 0: none */
};

struct group_list {
    struct group *head, *tail;
};

/* The jobs of one batch, at one priority and for one model. */
struct lane {
    int64_t batch;
    struct level *level;
    struct lane *next; /* of its level */
    struct heap_node node;
    double given; /* predicted seconds of work, and what it started with */
    int64_t order;
    int64_t n_pooled, n_granted;
    uint64_t classes; /* those with jobs */
    struct job_list lists[SCHEDULE_CLASSES];
    float came[SCHEDULE_CLASSES], all_came; /* jobs of each class so far; old ones count less */
    struct group_list fresh, homed;         /* groups with pooled jobs: nobody's yet, somebody's */
};

struct level {
    int64_t priority;
    struct model_pool *model;
    struct level *next; /* the next larger priority */
    struct lane *lanes;
    struct heap pooled; /* lanes with pooled jobs, by what they were given */
};

struct model_pool {
    int32_t id; /* 0: jobs that any instance may run */
    struct model_pool *next;
    struct level *levels;
    struct heap idle;   /* instances that asked and hold nothing, the roomiest first */
    struct heap hungry; /* the others that want more, who is out of work soonest first */
    int64_t largest;    /* limit of the roomiest instance */
    int64_t n_instances, n_pooled;
};

/* Of a job with p prompt and o answer tokens: p, p*p/2, o, o*(p + o/2); or what each of them
 * costs, in seconds. */
struct features {
    double f[4];
};

struct member {
    struct schedule_instance is;
    struct model_pool *model;
    int64_t limit, order;
    struct job *head, *tail; /* what it holds, as it was granted */
    int64_t n_rows, tokens;  /* outstanding */
    double seconds;          /* charged for them */
    int64_t ask_rows, ask_tokens;
    bool declines;         /* it asked for nothing: it stalls, or drains */
    int64_t told, since;   /* rows not begun: at its last word less those done, granted since */
    struct features usual; /* of its jobs, the mean */
    int64_t n_mean;
    struct features cost;
    struct pace {
        double by;      /* it takes so many times as long as its model says */
        double since_s; /* of what is being measured: it has been full since */
        double cost_s;  /* what was done, by the model */
        int64_t n, n_done;
    } pace;
    double mean_s, n_run; /* of its jobs: seconds of work each; how many run at once */
    double rate;          /* jobs a second, as it counts in the scheduler's sum; 0: not counted */
    struct heap *waits;   /* where `wants` is: its model's idle or hungry ones, or nowhere */
    struct heap_node wants, turn, late;
    double turns; /* POLICY_ROUND_ROBIN, POLICY_WEIGHTED: what it was given, by its speed */
    int64_t homes[SCHEDULE_HOMES];
    int n_homes;
    double rests_s;      /* until then nothing is taken of it: it was looked at in vain */
    int64_t awaits;      /* rows taken back on its behalf, and not here yet */
    struct member *next; /* set aside while others are served */
};

struct job_slab {
    struct job_slab *next;
    struct job jobs[1024];
};

struct schedule {
    struct schedule_opts o;
    double now_s, start_s;
    struct idmap jobs, instances, groups;
    struct model_pool *models; /* the first is that of any instance */
    struct job_slab *slabs;
    struct job *spare;
    int64_t n_pooled, n_granted, n_instances;
    int64_t backlog_rows;
    int64_t reading; /* rows asked for and not here yet */
    int64_t orders;  /* instances and lanes, as they came */
    uint32_t job_orders;
    double rate; /* jobs a second, of all instances */
    struct features
        reference; /* of a job, by its part of an instance's own mean, summed by rate^2 */
    struct predict *predict;
    struct features usual;
    int64_t n_mean;
    struct heap turn; /* every instance, for policies that give in turn */
    struct heap late; /* instances that hold something, who ends last first; in the tail only */
    bool in_tail, declined;        /* declined: a job of the pool was, while picking */
    double tail_end_s;             /* when all could be done */
    double tail_at_s;              /* when that was computed */
    double slowest_s;              /* a usual job's time at the slowest instance */
    struct member *quickest;       /* of all instances, when that was computed */
    struct group_list idle_groups; /* without jobs, the longest so first */
    int64_t n_idle_groups;
    struct schedule_decision *decisions;
    size_t n_decisions, cap_decisions;
};

/* --- schedule.c ------------------------------------------------------------------------------- */

bool schedule_decide(struct schedule *s, enum schedule_verdict verdict, const struct job *j,
                     const struct member *i); /* false: there is no memory for it */

/* --- schedule_hold.c -------------------------------------------------------------------------- */

struct job *schedule_new_job(struct schedule *s); /* NULL: out of memory */
void schedule_free_job(struct schedule *s, struct job *j);
/* From the pool; false when there is no memory for the decision: then it stays there. */
bool schedule_grant(struct schedule *s, struct member *i, struct job *j);
void schedule_hold(struct schedule *s, struct member *i, struct job *j);
/* The holder has it no more; what it was charged stays with the lane. */
void schedule_release(struct schedule *s, struct job *j);
void schedule_forget(struct schedule *s, struct job *j); /* after it was released */
/* The holding of the job at the instance, or NULL. */
struct job *schedule_held_by(struct job *j, const struct member *i);
/* It ended unfinished there: its copy goes on, or it is ready again, or is forgotten. */
void schedule_give_back(struct schedule *s, struct job *j, bool ready);

/* --- schedule_pool.c -------------------------------------------------------------------------- */

/* The model's part of the pool, made where there is none.  NULL: out of memory. */
struct model_pool *schedule_model(struct schedule *s, int32_t id);
/* Its lane and group, made where there are none: 0 or ERR_NOMEM, then nothing has changed. */
int schedule_pool_place(struct schedule *s, struct job *j, const struct schedule_job *w);
void schedule_pool_put(struct schedule *s, struct job *j, bool first);
void schedule_pool_remove(struct schedule *s, struct job *j);
/* The features of all that it holds, summed; how many those are. */
int64_t schedule_pool_sum(const struct schedule *s, struct features *sum);
/* It was charged so much more (or less) work. */
void schedule_pool_charge(struct lane *l, double seconds);
/* A job was granted (+1), came back or ended (-1); its lane may be gone after the last. */
void schedule_pool_count(struct schedule *s, struct job *j, int by);
/* The instance is the home of the job's group from now on. */
void schedule_pool_home(const struct job *j, struct member *i);
void schedule_pool_fini(struct schedule *s);

/* --- schedule_pick.c -------------------------------------------------------------------------- */

/* The job that this instance is to have next, or NULL. */
struct job *schedule_pool_pick(struct schedule *s, struct member *i);
bool schedule_fits(const struct member *i, const struct job *j);

/* --- schedule_speed.c ------------------------------------------------------------------------- */

int32_t schedule_output(const struct schedule *s, const struct job *j);
void schedule_tune(struct schedule *s, struct member *i);   /* its means or its model changed */
void schedule_untune(struct schedule *s, struct member *i); /* it is not counted any more */
void schedule_count_job(struct schedule *s, struct member *i, const struct job *j);
double schedule_cost_s(const struct member *i, const struct job *j);
/* The instance is done with a job, which it holds still: was it as fast as its model says? */
void schedule_measure(struct schedule *s, struct member *i, const struct job *j,
                      int32_t output_tokens);
/* Seconds of work that it has not begun. */
double schedule_unbegun_s(const struct member *i);
int64_t schedule_unbegun(const struct member *i);
/* From its first step to its last, beside what the instance holds. */
double schedule_latency_s(const struct schedule *s, const struct member *i, const struct job *j);
double schedule_step_s(const struct member *i, const struct job *j); /* while it decodes */
double schedule_made(const struct member *i, double seconds);        /* tokens of its answer */
double schedule_residence_s(const struct member *i); /* likewise, of its usual job */
void schedule_add_features(struct features *sum, const struct job *j);
/* Were its jobs all like these n: jobs a second, and the time from a job's first step to its last.
 */
double schedule_rate_of(const struct member *i, const struct features *sum, double n);
double schedule_stay_s(const struct member *i, const struct features *sum, double n);
/* Which job suits the instance best: more is better, less than 0 is not at all.  The price of its
 * class is 1 where as many of them wait as came. */
double schedule_suits(const struct schedule *s, const struct member *i, const struct job *j,
                      double price);

/* --- schedule_sized.c, schedule_tail.c, schedule_baseline.c ----------------------------------- */

bool schedule_takes_turns(const struct schedule *s);
double schedule_horizon_s(const struct schedule *s);
/* Something about the instance has changed. */
void schedule_touch(struct schedule *s, struct member *i);
/* It is topped up, if it wants. */
void schedule_top_up(struct schedule *s, struct member *i);
void schedule_wait_anew(struct schedule *s);
struct member *schedule_next_waiting(struct model_pool *m);
/* Whoever wants more is served from the pool. */
void schedule_serve(struct schedule *s);
/* A job of this model has come: an instance that holds nothing has it at once. */
void schedule_serve_idle(struct schedule *s, struct model_pool *m);
bool schedule_is_low(const struct schedule *s, const struct member *i); /* wants more now */
bool schedule_has_room(const struct schedule *s, const struct member *i, const struct job *j);
void schedule_give_turns(struct schedule *s);
void schedule_touch_turn(struct schedule *s, struct member *i);

/* Is this the tail?  Looks anew at when all could be done. */
void schedule_watch_tail(struct schedule *s, bool anew);
/* Its place among those that end late. */
void schedule_touch_late(struct schedule *s, struct member *i);
/* Would the instance end the job in time for all to be done together? */
bool schedule_ends_in_time(const struct schedule *s, const struct member *i, const struct job *j);
/* The pool has nothing for it: jobs are taken back for it, or run twice. */
void schedule_help(struct schedule *s, struct member *i);
/* As it is done for each that waits. */
void schedule_help_all(struct schedule *s);

#endif
