-- views.sql - the public interface: names and columns here stay.  Made anew whenever the schema's version changes.

DROP VIEW IF EXISTS results;
DROP VIEW IF EXISTS progress;
DROP VIEW IF EXISTS throughput;
DROP VIEW IF EXISTS instances;
DROP VIEW IF EXISTS errors;
DROP VIEW IF EXISTS attempts;
DROP VIEW IF EXISTS slowest;

-- One row for each job.
CREATE VIEW results AS
SELECT b.name AS batch, p.custom_id, j.line,
       CASE j.state WHEN 0 THEN 'ready' WHEN 1 THEN 'done' WHEN 2 THEN 'failed' WHEN 3 THEN 'paused' ELSE 'cancelled' END
           AS state,
       p.body AS prompt, r.text, r.finish_reason, r.prompt_tokens, r.cached_tokens, r.output_tokens,
       r.queue_ms, r.prefill_ms, r.decode_ms, i.name AS instance,
       CASE WHEN r.job_id IS NULL THEN j.attempts ELSE r.attempt END AS attempts,
       CASE WHEN j.state = 2 THEN (SELECT a.code FROM attempt a
                               WHERE a.job_id = j.job_id AND a.generation = j.generation ORDER BY a.n DESC LIMIT 1) END
           AS error_code,
       CASE WHEN j.state = 2 THEN (SELECT a.message FROM attempt a
                               WHERE a.job_id = j.job_id AND a.generation = j.generation ORDER BY a.n DESC LIMIT 1) END
           AS error_message,
       r.done_ms, r.choices, r.seed, r.batch_invariant, i.model, i.model_hash, i.dtype, i.engine, j.job_id, j.batch_id
  FROM job j
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  LEFT JOIN result r USING (job_id)
  LEFT JOIN instance i ON i.instance_id = r.instance_id;

-- One row for each batch, from counters alone: the same cost at ten million rows.
CREATE VIEW progress AS
WITH lately AS (
    SELECT sum(prompt_tokens + output_tokens) * 1000.0 / max(1, max(at_ms) - min(at_ms - span_ms)) AS tokens_per_s
      FROM instance_metric
     WHERE at_ms > (SELECT max(at_ms) FROM instance_metric) - 60000
)
SELECT b.name AS batch,
       CASE WHEN b.state = 3 THEN 'paused' WHEN b.state = 4 THEN 'cancelled'
            WHEN b.n_ready + b.n_paused = 0 THEN 'finished' ELSE 'running' END AS state,
       b.n_ready + b.n_done + b.n_failed + b.n_paused + b.n_cancelled AS jobs,
       b.n_ready AS ready, b.n_done AS done, b.n_failed AS failed, b.n_paused AS paused, b.n_cancelled AS cancelled,
       b.prompt_tokens, b.cached_tokens, b.output_tokens, lately.tokens_per_s,
       CASE WHEN b.n_ready > 0 AND b.n_done > 0 AND lately.tokens_per_s > 0
            THEN b.n_ready * (b.prompt_tokens + b.output_tokens) / (b.n_done * lately.tokens_per_s) END AS eta_s,
       b.created_ms, b.first_done_ms, b.last_done_ms, b.priority, b.model, b.batch_id
  FROM batch b, lately;

CREATE VIEW instances AS
SELECT i.name, i.state, i.host, i.device, i.model, i.dtype, i.kv_dtype, i.tp, i.threads, i.kv_tokens, i.max_model_len,
       i.max_num_seqs, m.rows_done, m.prompt_tokens, m.output_tokens,
       (m.prompt_tokens + m.output_tokens) * 1000.0 / nullif(m.step_ms, 0) AS busy_tokens_per_s,
       i.joined_ms, i.seen_ms, i.uuid, i.instance_id
  FROM instance i
  LEFT JOIN (SELECT instance_id, sum(rows) AS rows_done, sum(prompt_tokens) AS prompt_tokens, sum(output_tokens) AS output_tokens,
                    sum(step_ms) AS step_ms FROM instance_metric GROUP BY instance_id) m USING (instance_id);

-- Per instance and minute.
CREATE VIEW throughput AS
SELECT i.name AS instance, strftime('%Y-%m-%d %H:%M', m.at_ms / 1000, 'unixepoch') AS minute,
       sum(m.rows) AS rows, sum(m.prompt_tokens) AS prompt_tokens, sum(m.output_tokens) AS output_tokens,
       sum(m.prompt_tokens + m.output_tokens) * 1000.0 / sum(m.span_ms) AS tokens_per_s,
       sum(m.steps) AS steps, sum(m.step_ms) * 1.0 / nullif(sum(m.steps), 0) AS ms_per_step,
       avg(m.running) AS running, min(m.kv_free) AS kv_free_min, m.instance_id
  FROM instance_metric m
  JOIN instance i USING (instance_id)
 GROUP BY m.instance_id, minute;

-- Failed rows, each with the error that ended it.
CREATE VIEW errors AS
SELECT b.name AS batch, p.custom_id, j.line, a.code, a.message, a.param, j.attempts, a.ended_ms, j.job_id, j.batch_id
  FROM job j
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  JOIN attempt a ON a.job_id = j.job_id AND a.n = (SELECT max(n) FROM attempt
                                                WHERE job_id = j.job_id AND generation = j.generation)
 WHERE j.state = 2;

-- Every attempt that did not give the result.
CREATE VIEW attempts AS
SELECT b.name AS batch, p.custom_id, a.n, i.name AS instance, a.ended_ms, a.counts, a.code, a.message, a.job_id
  FROM attempt a
  JOIN job j USING (job_id)
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  LEFT JOIN instance i ON i.instance_id = a.instance_id;

CREATE VIEW slowest AS
SELECT batch, custom_id, instance, prompt_tokens, output_tokens, queue_ms, prefill_ms, decode_ms,
       prefill_ms + decode_ms AS run_ms
  FROM results
 WHERE state = 'done'
 ORDER BY run_ms DESC;
