-- Twenty questions that a queue file answers, also while it is worked on.  One at a time:
--     nightmill sql --db night.db "SELECT ..."

-- How far is each batch, and how many minutes are left?
SELECT batch, state, done, failed, ready, round(100.0 * (done + failed) / max(jobs, 1), 1) AS percent,
       round(tokens_per_s) AS tokens_per_s, round(eta_s / 60, 1) AS minutes_left
  FROM progress ORDER BY batch_id;

-- Which answers are there already?
SELECT batch, custom_id, text FROM results WHERE state = 'done' LIMIT 20;

-- What went wrong, most frequent first, and where does it begin?
SELECT code, count(*) AS rows, min(line) AS first_line, min(message) AS for_example
  FROM errors GROUP BY code ORDER BY rows DESC;

-- Which lines of the input have to be mended, and how?
SELECT batch, line, custom_id, code, param, message FROM errors ORDER BY batch_id, line LIMIT 50;

-- How many answers ended by themselves, and how many were cut off by max_tokens?
SELECT batch, finish_reason, count(*) AS rows, round(avg(output_tokens), 1) AS tokens
  FROM results WHERE state = 'done' GROUP BY batch, finish_reason;

-- Which answers occur most often?
SELECT text, count(*) AS rows FROM results WHERE state = 'done' GROUP BY text ORDER BY rows DESC, text LIMIT 10;

-- How many answers are what the input expected?
SELECT batch, sum(text = json_extract(prompt, '$.metadata.expected')) AS right, count(*) AS rows
  FROM results WHERE state = 'done' AND json_valid(prompt) GROUP BY batch;

-- How long are prompts and answers?
SELECT batch, count(*) AS rows, min(prompt_tokens) AS prompt_min, round(avg(prompt_tokens), 1) AS prompt_mean,
       max(prompt_tokens) AS prompt_max, round(avg(output_tokens), 1) AS output_mean, max(output_tokens) AS output_max
  FROM results WHERE state = 'done' GROUP BY batch;

-- How is the length of the answers spread?
SELECT output_tokens / 8 * 8 AS tokens_from, count(*) AS rows
  FROM results WHERE state = 'done' GROUP BY tokens_from ORDER BY tokens_from;

-- Which rows took longest?
SELECT batch, custom_id, instance, prompt_tokens, output_tokens, run_ms FROM slowest LIMIT 10;

-- How long does a row take: the median, and what nine and ninety-nine of a hundred stay under?
SELECT batch, max(run_ms) FILTER (WHERE place <= 0.5) AS p50_ms, max(run_ms) FILTER (WHERE place <= 0.9) AS p90_ms,
       max(run_ms) FILTER (WHERE place <= 0.99) AS p99_ms, max(run_ms) AS max_ms
  FROM (SELECT batch, run_ms, percent_rank() OVER (PARTITION BY batch ORDER BY run_ms) AS place FROM slowest)
 GROUP BY batch;

-- Where does a row's time go, by instance?
SELECT instance, count(*) AS rows, round(avg(queue_ms)) AS queue_ms, round(avg(prefill_ms)) AS prefill_ms,
       round(avg(decode_ms)) AS decode_ms
  FROM results WHERE state = 'done' GROUP BY instance;

-- Who did how much of the work?
SELECT instance, rows, round(100.0 * rows / sum(rows) OVER (), 1) AS percent
  FROM (SELECT instance, count(*) AS rows FROM results WHERE state = 'done' GROUP BY instance);

-- Who is here, how fast and how full?
SELECT name, device, round(tokens_per_s) AS tokens_per_s, running, waiting, leased_rows,
       round(100.0 * (kv_blocks - kv_free) / kv_blocks) AS kv_percent, memory_bytes / 1000000 AS memory_mb
  FROM instances WHERE state = 'here';

-- How did the speed develop, minute by minute?
SELECT minute, sum(rows) AS rows, round(sum(prompt_tokens_per_s)) AS prompt_tokens_per_s,
       round(sum(output_tokens_per_s)) AS output_tokens_per_s
  FROM throughput GROUP BY minute ORDER BY minute;

-- How much of its time does each instance spend inside steps, and how much of its prompts is shared?
SELECT instance, round(100.0 * sum(ms_per_step * steps) / sum(span_ms), 1) AS busy_percent,
       round(100.0 * sum(cached_tokens) / max(sum(prompt_tokens), 1), 1) AS cached_percent
  FROM throughput GROUP BY instance;

-- How many joules does a token take, where the device tells its power?
SELECT instance, round(avg(power_mw) / 1000, 1) AS watts,
       round(sum(power_mw * span_ms) / 1e6 / max(sum(prompt_tokens + output_tokens), 1), 4) AS joules_per_token
  FROM throughput GROUP BY instance;

-- How did attempts end, and on whom?
SELECT instance, code, count(*) AS attempts, sum(counts) AS used_up
  FROM attempts GROUP BY instance, code ORDER BY attempts DESC;

-- What exactly gave the answers: model, hash, weights' type, engine, device?
SELECT batch, model, model_hash, dtype, engine, device, count(*) AS rows
  FROM results WHERE state = 'done' GROUP BY batch, model_hash, dtype, engine, device;

-- What happened last?
SELECT strftime('%H:%M:%S', at_ms / 1000, 'unixepoch', 'localtime') AS time, level, unit, text
  FROM event ORDER BY event_id DESC LIMIT 10;
