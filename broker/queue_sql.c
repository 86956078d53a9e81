/* queue_sql.c - every statement of the queue, and how one is run. */
#include "broker/queue_db.h"

const char *const QUEUE_SQL[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_BATCH_FIND] = "SELECT batch_id FROM batch WHERE name=?1",
    [ST_BATCH_GET] = "SELECT max_attempts, generation, priority, n_failed, state, reuse, deleting"
                     " FROM batch WHERE batch_id=?1",
    [ST_BATCH_SPEC] = "SELECT name, model, priority, max_attempts, not_before_ms, deadline_ms,"
                      " window_from, window_to, reuse FROM batch WHERE batch_id=?1",
    [ST_BATCH_ADD] =
        "INSERT INTO batch(name,model,priority,max_attempts,created_ms,not_before_ms,deadline_ms,"
        "window_from,window_to,reuse) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [ST_BATCH_STATE] = "UPDATE batch SET state=?2, generation=generation+?3, deleting=?4"
                       " WHERE batch_id=?1 RETURNING n_ready, n_paused",
    [ST_BATCH_NO_DEADLINE] = "UPDATE batch SET deadline_ms=0 WHERE batch_id=?1 AND deadline_ms<=?2",
    [ST_BATCH_DROP] = "DELETE FROM batch WHERE batch_id=?1",
    [ST_BATCH_COUNT] =
        "UPDATE batch SET n_ready=n_ready+?2, n_done=n_done+?3, n_failed=n_failed+?4, "
        "n_paused=n_paused+?5,"
        " n_cancelled=n_cancelled+?6, prompt_tokens=prompt_tokens+?7, "
        "cached_tokens=cached_tokens+?8,"
        " output_tokens=output_tokens+?9, body_bytes=body_bytes+?10,"
        " first_done_ms=CASE WHEN ?11>0 THEN ifnull(first_done_ms,?11) ELSE first_done_ms END,"
        " last_done_ms=CASE WHEN ?11>0 THEN ?11 ELSE last_done_ms END WHERE batch_id=?1",
    [ST_JOB_BY_ID] = "SELECT j.job_id, j.body_hash FROM job j JOIN prompt p USING (job_id)"
                     " WHERE j.batch_id=?1 AND j.id_hash=?2 AND p.custom_id=?3",
    [ST_JOB_ADD] =
        "INSERT INTO job(batch_id,state,priority,endpoint,line,id_hash,body_hash,created_ms,"
        "prefix_group) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    [ST_PROMPT_ADD] = "INSERT INTO prompt(job_id,custom_id,body) VALUES(?1,?2,?3)",
    [ST_JOB_GET] = "SELECT batch_id, state, generation, attempts, suspect FROM job WHERE job_id=?1",
    [ST_JOB_MOVE] = "UPDATE job SET state=?2, generation=?3, attempts=?4, not_before_ms=?5,"
                    " suspect=?6 WHERE job_id=?1",
    [ST_JOB_REPLACE] = "UPDATE job SET endpoint=?2, line=?3, id_hash=?4, body_hash=?5, priority=?6,"
                       " prefix_group=?7 WHERE job_id=?1",
    [ST_PROMPT_REPLACE] = "UPDATE prompt SET custom_id=?2, body=?3 WHERE job_id=?1",
    [ST_RESULT_ADD] =
        "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
        "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
    [ST_RESULT_DROP] =
        "DELETE FROM result WHERE job_id=?1 RETURNING prompt_tokens, cached_tokens, output_tokens,"
        " reused_from IS NOT NULL",
    [ST_ATTEMPT_ADD] =
        "INSERT INTO attempt(job_id,n,generation,instance_id,ended_ms,counts,code,message,param,"
        "leased_ms)"
        " VALUES(?1,CASE WHEN ?2<0 THEN (SELECT ifnull(max(n),0)+1 FROM attempt WHERE job_id=?1) "
        "ELSE ?2 END,"
        " ?3,?4,?5,?6,?7,?8,?9,?10)",
    [ST_ATTEMPT_DROP] = "DELETE FROM attempt WHERE job_id=?1 AND n=0",
    [ST_FAILED_FIND] =
        "SELECT j.job_id FROM job j INDEXED BY job_failed WHERE j.batch_id=?1 AND j.state=2"
        " AND j.job_id>?2"
        " AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.job_id=j.job_id AND a.n=0)"
        " AND (?4='' OR (SELECT a.code FROM attempt a WHERE a.job_id=j.job_id"
        " ORDER BY a.n DESC LIMIT 1)=?4) ORDER BY j.job_id LIMIT ?3",
    [ST_READY_FIND] = "SELECT job_id FROM job INDEXED BY job_ready WHERE batch_id=?1 AND state=0"
                      " AND not_before_ms=0 LIMIT ?3",
    /* Those that wait for another try, and the paused ones. */
    [ST_REST_FIND] = "SELECT job_id FROM job INDEXED BY job_delayed WHERE batch_id=?1 AND state=0"
                     " AND not_before_ms>0 UNION ALL SELECT job_id FROM job INDEXED BY job_held"
                     " WHERE batch_id=?1 AND state IN (3, 4) AND state=3 LIMIT ?3",
    [ST_CANCELLED_FIND] = "SELECT job_id FROM job INDEXED BY job_held WHERE batch_id=?1"
                          " AND state IN (3, 4) AND state=4 LIMIT ?3",
    [ST_ANY_FIND] = "SELECT job_id FROM job INDEXED BY job_by_id WHERE batch_id=?1 LIMIT ?3",
    [ST_ATTEMPTS_DROP] = "DELETE FROM attempt WHERE job_id=?1",
    [ST_PROMPT_DROP] = "DELETE FROM prompt WHERE job_id=?1",
    [ST_JOB_DROP] = "DELETE FROM job WHERE job_id=?1",
    [ST_REUSE_FIND] =
        "SELECT j.job_id FROM job j JOIN prompt p USING (job_id) JOIN result r USING (job_id)"
        " JOIN instance i USING (instance_id) WHERE j.body_hash=?1 AND j.endpoint=?2 AND j.state=1"
        " AND p.body=?4 AND i.model_hash=(SELECT model_hash FROM instance, batch"
        " WHERE batch_id=?3 AND (batch.model='' OR instance.model=batch.model)"
        " ORDER BY instance_id DESC LIMIT 1) LIMIT 1",
    [ST_REUSE_COPY] =
        "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
        "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices,"
        "reused_from) SELECT ?1,instance_id,1,finish_reason,prompt_tokens,cached_tokens,"
        "output_tokens,0,0,0,?3,seed,batch_invariant,text,choices,ifnull(reused_from,job_id)"
        " FROM result WHERE job_id=?2",
    /* A few at a time: a group stays small.  Later than any backoff (?2): the clock was set back.
     */
    [ST_DUE] = "UPDATE job SET not_before_ms=0 WHERE job_id IN (SELECT job_id FROM job"
               " WHERE state=0 AND not_before_ms>0 AND not_before_ms<=?1 UNION ALL"
               " SELECT job_id FROM job WHERE state=0 AND not_before_ms>0 AND not_before_ms>?2"
               " LIMIT 10000)",
    [ST_INSTANCE_ADD] =
        "INSERT INTO "
        "instance(uuid,name,host,device,model,model_hash,dtype,kv_dtype,tp,threads,kv_tokens,max_"
        "model_len,"
        "max_num_seqs,engine,state,joined_ms,seen_ms) "
        "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,'here',?15,?15)"
        " ON CONFLICT(uuid) DO UPDATE SET state='here', seen_ms=?15 RETURNING instance_id",
    [ST_INSTANCE_GONE] = "UPDATE instance SET state='gone', seen_ms=?2 WHERE instance_id=?1",
    [ST_PROFILE_ADD] = "INSERT OR REPLACE INTO "
                       "instance_profile(instance_id,at_ms,kv_tokens,source,k0,kw,k1,k2,k3,k4,mape,"
                       "held_out_mape,samples,shared,drifted)"
                       " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
    /* Two rows of one millisecond stay two: the second is a millisecond later. */
    [ST_METRIC_ADD] =
        "INSERT OR REPLACE INTO instance_metric(instance_id,at_ms,span_ms,rows,prompt_tokens,"
        "output_tokens,steps,step_ms,running,waiting,kv_blocks,kv_free,cached_tokens,leased_rows,"
        "leased_tokens,queued_tokens,memory_bytes,power_mw,clock_mhz,others) "
        "VALUES(?1,?2+(SELECT count(*) FROM instance_metric WHERE instance_id=?1 AND at_ms BETWEEN "
        "?2 "
        "AND ?2+9),?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,nullif(?17,0),"
        "nullif(?18,0),nullif(?19,0),nullif(?20,-1))",
    [ST_METRIC_FIRST] = "SELECT at_ms FROM instance_metric WHERE at_ms>=?1 ORDER BY at_ms LIMIT 1",
    [ST_METRIC_CELL] =
        "SELECT sum(n), max(instance_id) FROM (SELECT instance_id, count(*) AS n FROM "
        "instance_metric INDEXED BY instance_metric_at WHERE at_ms>=?1 AND at_ms<?2 AND "
        "instance_id>?3 GROUP BY instance_id "
        "ORDER BY instance_id LIMIT ?4) HAVING count(*)>0",
    [ST_METRIC_MERGE] =
        "INSERT OR REPLACE INTO instance_metric(instance_id,at_ms,span_ms,rows,prompt_tokens,"
        "output_tokens,steps,step_ms,running,waiting,kv_blocks,kv_free,cached_tokens,leased_rows,"
        "leased_tokens,queued_tokens,memory_bytes,power_mw,clock_mhz,others) "
        "SELECT instance_id, max(at_ms), sum(span_ms), sum(rows), sum(prompt_tokens),"
        " sum(output_tokens), sum(steps), sum(step_ms), CAST(round(avg(running)) AS INTEGER),"
        " CAST(round(avg(waiting)) AS INTEGER), max(kv_blocks), min(kv_free), sum(cached_tokens),"
        " CAST(round(avg(leased_rows)) AS INTEGER), CAST(round(avg(leased_tokens)) AS INTEGER),"
        " CAST(round(avg(queued_tokens)) AS INTEGER), max(memory_bytes),"
        " CAST(round(avg(power_mw)) AS INTEGER), CAST(round(avg(clock_mhz)) AS INTEGER), "
        "max(others)"
        " FROM instance_metric INDEXED BY instance_metric_at WHERE at_ms>=?1 AND at_ms<?2"
        " AND instance_id>?3 AND instance_id<=?4 GROUP BY instance_id HAVING count(*)>1",
    /* The merged row has the time of the cell's last one: all before it go. */
    [ST_METRIC_DROP] =
        "DELETE FROM instance_metric AS m WHERE at_ms>=?1 AND at_ms<?2 AND instance_id>?3"
        " AND instance_id<=?4 AND at_ms<(SELECT max(at_ms) FROM instance_metric"
        " WHERE instance_id=m.instance_id AND at_ms<?2)",
    [ST_EVENT_ADD] = "INSERT INTO event(at_ms,level,unit,text) VALUES(?1,?2,?3,?4)",
    [ST_EVENT_DROP] = "DELETE FROM event WHERE event_id<=(SELECT max(event_id) FROM event)-?1"
                      " AND event_id<(SELECT min(event_id) FROM event)+?2",
    [ST_HINT_CLEAR] = "DELETE FROM lease_hint",
    [ST_HINT_ADD] = "INSERT OR REPLACE INTO lease_hint(job_id,instance_uuid) VALUES(?1,?2)",
    [ST_REFUSED] = "SELECT 1 FROM attempt WHERE job_id=?1 AND n=0",
    [ST_NODE_ADD] = "INSERT INTO node(joined_ms,seen_ms,cores,memory_bytes,name,host,devices,"
                    "usd_per_hour,state) VALUES(?1,?1,?2,?3,?4,?5,"
                    "iif(json_valid(?6) AND json_type(?6)='array',?6,'[]'),?7,'here')"
                    " ON CONFLICT(name) DO UPDATE SET joined_ms=excluded.joined_ms,"
                    " seen_ms=excluded.seen_ms, cores=excluded.cores, host=excluded.host,"
                    " memory_bytes=excluded.memory_bytes, devices=excluded.devices,"
                    " usd_per_hour=excluded.usd_per_hour, state='here'",
    [ST_NODE_GONE] = "UPDATE node SET state='gone', seen_ms=?1 WHERE name=?2 AND state='here'",
    [ST_NODES_GONE] = "UPDATE node SET state='gone' WHERE state='here'",
    [ST_PLAN_END] = "UPDATE plan SET state='past' WHERE state='active'",
    [ST_PLAN_ADD] = "INSERT INTO plan(at_ms,rows,model,batch,detail,seconds,usd,state)"
                    " VALUES(?1,?2,?3,?4,iif(json_valid(?5),?5,'{}'),?6,?7,'active')"
                    " RETURNING plan_id",
    [ST_PLAN_INSTANCE_ADD] =
        "INSERT INTO plan_instance(plan_id,n,tp,kv_tokens,node,devices,dtype,kv_dtype,source,"
        "rows_per_s,mape) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,iif(?11<0,NULL,?11))",
};

int queue_error(struct queue *q, struct errmsg *e)
{
    return dbfile_error(q->db, e, "queue");
}

/* The statement with the given integers bound from ?1 on. */
sqlite3_stmt *queue_bound(struct queue *q, enum statement which, int n, const int64_t *v)
{
    sqlite3_stmt *st = q->st[which];

    for (int i = 0; i < n; i++)
        sqlite3_bind_int64(st, i + 1, v[i]);
    return st;
}
/* Runs a statement that gives no rows. */
int queue_run(struct queue *q, sqlite3_stmt *st, struct errmsg *e)
{
    int rc = sqlite3_step(st) == SQLITE_DONE ? ERR_OK : queue_error(q, e);

    sqlite3_reset(st);
    return rc;
}

/* Steps to the first row and hands out up to n integers; ERR_EMPTY when there is no row.  Resets.
 */
int queue_first(struct queue *q, sqlite3_stmt *st, int n, int64_t *out, struct errmsg *e)
{
    int rc = ERR_EMPTY;

    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        for (int i = 0; i < n; i++)
            out[i] = sqlite3_column_int64(st, i);
        /* A writing statement with RETURNING has done its work only when it was stepped to its end.
         */
        switch (sqlite3_step(st)) {
        case SQLITE_ROW:
        case SQLITE_DONE: rc = ERR_OK; break;
        default: rc = queue_error(q, e);
        }
        break;
    case SQLITE_DONE: break;
    default: rc = queue_error(q, e);
    }
    sqlite3_reset(st);
    return rc;
}
