-- 002_control.sql - when a batch may run, what a person may do to it, and what is known of each attempt.

-- A batch's generation is added to its jobs': cancelling or retrying a whole batch changes one row.
ALTER TABLE batch ADD COLUMN generation    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;   -- 0: at once
ALTER TABLE batch ADD COLUMN deadline_ms   INTEGER NOT NULL DEFAULT 0;   -- 0: none; what is left then fails, batch_expired
ALTER TABLE batch ADD COLUMN window_from   INTEGER NOT NULL DEFAULT -1;  -- minute of the broker's day; -1: any time
ALTER TABLE batch ADD COLUMN window_to     INTEGER NOT NULL DEFAULT -1;
ALTER TABLE batch ADD COLUMN reuse         INTEGER NOT NULL DEFAULT 0 CHECK (reuse IN (0, 1));
ALTER TABLE batch ADD COLUMN deleting      INTEGER NOT NULL DEFAULT 0 CHECK (deleting IN (0, 1)); -- a few rows at a time

-- Was it in the last step of a worker that crashed?  1: suspected, runs alone; 2: has ended one worker while alone.
ALTER TABLE job ADD COLUMN suspect INTEGER NOT NULL DEFAULT 0 CHECK (suspect BETWEEN 0 AND 3);
CREATE INDEX job_held    ON job (batch_id, job_id) WHERE state IN (3, 4);
CREATE INDEX job_suspect ON job (job_id) WHERE suspect > 0 AND state = 0;

ALTER TABLE attempt ADD COLUMN leased_ms INTEGER; -- when its lease began; NULL: never leased
ALTER TABLE result ADD COLUMN reused_from INTEGER; -- the job whose answer this is; NULL: computed

-- Every few seconds; thinned with age (broker/metric.c).  Counters are since the row before, the rest is as of then.
ALTER TABLE instance_metric ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0; -- prompt tokens read from shared KV
ALTER TABLE instance_metric ADD COLUMN leased_rows   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance_metric ADD COLUMN leased_tokens INTEGER NOT NULL DEFAULT 0; -- expected of what is leased
ALTER TABLE instance_metric ADD COLUMN queued_tokens INTEGER NOT NULL DEFAULT 0; -- of them, not begun
ALTER TABLE instance_metric ADD COLUMN memory_bytes  INTEGER;  -- resident on a CPU, of the device otherwise
ALTER TABLE instance_metric ADD COLUMN power_mw      INTEGER;  -- NULL: the device does not tell
ALTER TABLE instance_metric ADD COLUMN clock_mhz     INTEGER;

-- The instance model (schema/perf.h) that an instance sent, the latest one.
CREATE TABLE instance_profile (
    instance_id INTEGER PRIMARY KEY REFERENCES instance,
    at_ms       INTEGER NOT NULL,
    source      TEXT    NOT NULL,     -- measured, roofline, file
    k0 REAL NOT NULL, kw REAL NOT NULL, k1 REAL NOT NULL, k2 REAL NOT NULL, k3 REAL NOT NULL, k4 REAL NOT NULL, -- ms
    kv_tokens   INTEGER NOT NULL,     -- C: that fit
    mape        REAL                  -- of live steps against the formula, percent; NULL: not known yet
) STRICT;
