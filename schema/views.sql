-- views.sql - the public interface: names and columns here stay.  Made anew whenever this text changes.
--
-- A batch's state lies over its jobs': what is left of a cancelled batch is cancelled, of a paused one paused, though no
-- row of it was touched.

DROP VIEW IF EXISTS results;
DROP VIEW IF EXISTS progress;
DROP VIEW IF EXISTS throughput;
DROP VIEW IF EXISTS instances;
DROP VIEW IF EXISTS errors;
DROP VIEW IF EXISTS attempts;
DROP VIEW IF EXISTS slowest;
DROP VIEW IF EXISTS nodes;
DROP VIEW IF EXISTS plans;

-- One row for each job.
CREATE VIEW results AS
SELECT b.name AS batch, p.custom_id, j.line,
       CASE WHEN j.state = 1 THEN 'done' WHEN j.state = 2 THEN 'failed'
            WHEN j.state = 4 OR b.state = 4 OR b.deleting THEN 'cancelled'
            WHEN j.state = 3 OR b.state = 3 THEN 'paused' ELSE 'ready' END AS state,
       p.body AS prompt, r.text, r.finish_reason, r.prompt_tokens, r.cached_tokens, r.output_tokens,
       r.queue_ms, r.prefill_ms, r.decode_ms, i.name AS instance,
       CASE WHEN r.job_id IS NULL THEN j.attempts ELSE r.attempt END AS attempts,
       CASE WHEN j.state = 2 THEN (SELECT a.code FROM attempt a WHERE a.job_id = j.job_id
                                    ORDER BY a.generation DESC, a.n DESC LIMIT 1)
            WHEN j.state <> 1 AND (j.state = 4 OR b.state = 4 OR b.deleting) THEN 'batch_cancelled' END AS error_code,
       CASE WHEN j.state = 2 THEN (SELECT a.message FROM attempt a WHERE a.job_id = j.job_id
                                    ORDER BY a.generation DESC, a.n DESC LIMIT 1)
            WHEN j.state <> 1 AND (j.state = 4 OR b.state = 4 OR b.deleting)
            THEN 'This request was cancelled before it was executed.' END AS error_message,
       r.done_ms, r.choices, r.seed, r.batch_invariant, i.model, i.model_hash, i.dtype, i.engine, j.job_id, j.batch_id,
       i.device, r.reused_from, j.id_hash
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
), clock AS (
    SELECT strftime('%s', 'now') * 1000 AS now_ms,
           strftime('%H', 'now', 'localtime') * 60 + strftime('%M', 'now', 'localtime') AS minute
), counted AS (
    SELECT b.*, iif(b.state = 0 AND NOT b.deleting, n_ready, 0) AS ready,
           CASE WHEN b.state = 4 OR b.deleting THEN 0 WHEN b.state = 3 THEN n_ready + n_paused ELSE n_paused END AS paused,
           iif(b.state = 4 OR b.deleting, n_ready + n_paused, 0) + n_cancelled AS cancelled,
           CASE WHEN window_from = window_to THEN 1
                WHEN window_from < window_to THEN minute >= window_from AND minute < window_to
                ELSE minute >= window_from OR minute < window_to END AND not_before_ms <= now_ms AS may_run
      FROM batch b, clock
)
SELECT c.name AS batch,
       CASE WHEN c.deleting THEN 'deleting' WHEN c.state = 4 THEN 'cancelled' WHEN c.ready + c.paused = 0 THEN 'finished'
            WHEN c.state = 3 THEN 'paused' WHEN NOT c.may_run THEN 'waiting' ELSE 'running' END AS state,
       c.n_ready + c.n_done + c.n_failed + c.n_paused + c.n_cancelled AS jobs,
       c.ready, c.n_done AS done, c.n_failed AS failed, c.paused, c.cancelled,
       c.prompt_tokens, c.cached_tokens, c.output_tokens, lately.tokens_per_s,
       CASE WHEN c.ready > 0 AND c.n_done > 0 AND lately.tokens_per_s > 0
             AND EXISTS (SELECT 1 FROM instance WHERE state = 'here')
            THEN c.ready * (c.prompt_tokens + c.output_tokens) / (c.n_done * lately.tokens_per_s) END AS eta_s,
       c.created_ms, c.first_done_ms, c.last_done_ms, c.priority, c.model, c.batch_id,
       nullif(c.not_before_ms, 0) AS not_before_ms, nullif(c.deadline_ms, 0) AS deadline_ms,
       CASE WHEN c.window_from >= 0 THEN printf('%02d:%02d-%02d:%02d', c.window_from / 60, c.window_from % 60,
                                                c.window_to / 60, c.window_to % 60) END AS window
  FROM counted c, lately;

-- One row for each run of a worker.  What changes is as of its last metric; tokens_per_s is over the minute before it.
CREATE VIEW instances AS
SELECT i.name, i.state, i.host, i.device, i.model, i.dtype, i.kv_dtype, i.tp, i.threads, i.kv_tokens, i.max_model_len,
       i.max_num_seqs,
       (SELECT sum(rows) FROM instance_metric WHERE instance_id = i.instance_id) AS rows_done,
       (SELECT sum(prompt_tokens) FROM instance_metric WHERE instance_id = i.instance_id) AS prompt_tokens,
       (SELECT sum(output_tokens) FROM instance_metric WHERE instance_id = i.instance_id) AS output_tokens,
       (SELECT sum(prompt_tokens + output_tokens) * 1000.0 / nullif(sum(step_ms), 0) FROM instance_metric
         WHERE instance_id = i.instance_id) AS busy_tokens_per_s,
       i.joined_ms, i.seen_ms, i.uuid, i.instance_id,
       CASE WHEN i.state = 'here' AND m.running + m.waiting + m.leased_rows > 0
            THEN (SELECT sum(prompt_tokens + output_tokens) * 1000.0 / nullif(sum(span_ms), 0) FROM instance_metric
                   WHERE instance_id = i.instance_id AND at_ms > m.at_ms - 60000) ELSE 0.0 END AS tokens_per_s,
       m.running, m.waiting, m.leased_rows, m.leased_tokens, m.queued_tokens, m.kv_blocks, m.kv_free,
       m.memory_bytes, m.power_mw, m.clock_mhz, m.at_ms AS metric_ms, i.model_hash, i.engine,
       f.source AS profile, f.k0, f.kw, f.k1, f.k2, f.k3, f.k4, f.mape, m.others,
       f.held_out_mape, f.samples, f.shared, f.drifted
  FROM instance i
  LEFT JOIN instance_metric m ON m.instance_id = i.instance_id
       AND m.at_ms = (SELECT max(at_ms) FROM instance_metric WHERE instance_id = i.instance_id)
  LEFT JOIN instance_profile f ON f.instance_id = i.instance_id;

-- Per instance and minute; what is older than a day has a row for ten minutes.
CREATE VIEW throughput AS
SELECT i.name AS instance, strftime('%Y-%m-%d %H:%M', m.at_ms / 1000, 'unixepoch') AS minute,
       sum(m.rows) AS rows, sum(m.prompt_tokens) AS prompt_tokens, sum(m.output_tokens) AS output_tokens,
       sum(m.prompt_tokens + m.output_tokens) * 1000.0 / nullif(sum(m.span_ms), 0) AS tokens_per_s,
       sum(m.steps) AS steps, sum(m.step_ms) * 1.0 / nullif(sum(m.steps), 0) AS ms_per_step,
       avg(m.running) AS running, min(m.kv_free) AS kv_free_min, m.instance_id,
       sum(m.cached_tokens) AS cached_tokens, sum(m.prompt_tokens) * 1000.0 / nullif(sum(m.span_ms), 0) AS prompt_tokens_per_s,
       sum(m.output_tokens) * 1000.0 / nullif(sum(m.span_ms), 0) AS output_tokens_per_s,
       avg(m.waiting) AS waiting, avg(m.leased_rows) AS leased_rows, max(m.memory_bytes) AS memory_bytes_max,
       avg(m.power_mw) AS power_mw, avg(m.clock_mhz) AS clock_mhz, sum(m.span_ms) AS span_ms
  FROM instance_metric m
  JOIN instance i USING (instance_id)
 GROUP BY m.instance_id, minute;

-- Failed rows, each with the error that ended it.
CREATE VIEW errors AS
SELECT b.name AS batch, p.custom_id, j.line, a.code, a.message, a.param, j.attempts, a.ended_ms, j.job_id, j.batch_id
  FROM job j INDEXED BY job_failed
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  JOIN attempt a ON a.job_id = j.job_id AND a.n = (SELECT n FROM attempt WHERE job_id = j.job_id
                                                ORDER BY generation DESC, n DESC LIMIT 1)
 WHERE j.state = 2;

-- Every attempt of every row, the one that gave the answer among them.
CREATE VIEW attempts AS
SELECT b.name AS batch, p.custom_id, a.n, i.name AS instance, a.ended_ms, a.counts, a.code, a.message, a.job_id,
       a.leased_ms, j.batch_id
  FROM attempt a
  JOIN job j USING (job_id)
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  LEFT JOIN instance i ON i.instance_id = a.instance_id
UNION ALL
SELECT b.name, p.custom_id, (SELECT ifnull(max(n), 0) + 1 FROM attempt WHERE job_id = r.job_id), i.name, r.done_ms,
       r.reused_from IS NULL, iif(r.reused_from IS NULL, 'done', 'reused'), '', r.job_id,
       iif(r.reused_from IS NULL, r.done_ms - r.decode_ms - r.prefill_ms - r.queue_ms, NULL), j.batch_id
  FROM result r
  JOIN job j USING (job_id)
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  LEFT JOIN instance i ON i.instance_id = r.instance_id;

CREATE VIEW slowest AS
SELECT b.name AS batch, p.custom_id, i.name AS instance, r.prompt_tokens, r.output_tokens, r.queue_ms, r.prefill_ms,
       r.decode_ms, r.prefill_ms + r.decode_ms AS run_ms, j.job_id, j.batch_id
  FROM result r
  JOIN job j USING (job_id)
  JOIN batch b USING (batch_id)
  JOIN prompt p USING (job_id)
  LEFT JOIN instance i ON i.instance_id = r.instance_id
 WHERE r.reused_from IS NULL
 ORDER BY run_ms DESC;

-- Machines that offer their devices; `instances` is what the active plan gives them.
CREATE VIEW nodes AS
SELECT n.name, n.state, n.host, (SELECT group_concat(json_extract(value, '$.device') || ' ' ||
                                                     json_extract(value, '$.name'), ', ') FROM json_each(n.devices) WHERE type = 'object') AS devices,
       n.cores, n.memory_bytes, nullif(n.usd_per_hour, 0) AS usd_per_hour, n.joined_ms, n.seen_ms,
       (SELECT count(*) FROM plan p JOIN plan_instance i USING (plan_id)
         WHERE p.state = 'active' AND i.node = n.name) AS instances, n.node_id
  FROM node n;

-- The instances of the active plan; its node's worker for each is called by the node's name and n.
CREATE VIEW plans AS
SELECT i.node, i.n, iif(EXISTS (SELECT 1 FROM instance w WHERE w.name = i.node || '-' || i.n AND w.state = 'here'),
                        'here', 'away') AS state,
       i.devices, i.tp, i.dtype, i.kv_dtype, i.kv_tokens, i.rows_per_s, i.source, i.mape,
       p.model, p.batch, p.rows, p.seconds, nullif(p.usd, 0) AS usd, p.at_ms, p.plan_id
  FROM plan p
  JOIN plan_instance i USING (plan_id)
 WHERE p.state = 'active';
