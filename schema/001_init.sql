-- 001_init.sql - the queue file, version 1.  Needs SQLite 3.37 (STRICT tables).
--
-- A job's durable states, and the moves that broker/queue.c makes (`leased` is the broker's knowledge, not a state):
--
--   0 ready --result--> 1 done
--     ^ |  ^
--     | |  +--error, attempts left (not_before_ms grows)
--     | +-----error, no attempts left--> 2 failed
--     +--retry--------------------------------+
--   3 paused, 4 cancelled: from ready, by a person
--
-- Times are integers, unix milliseconds.  To change anything here: never edit this file once released; add
-- 00N_what.sql (one transaction, run by schema_migrate) and raise SCHEMA_VERSION in schema/sql.h.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,          -- db_uuid, epoch, created_ms, last_version
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
    batch_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    state         INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 3, 4)), -- ready, paused, cancelled
    priority      INTEGER NOT NULL DEFAULT 0,      -- smaller runs first
    model         TEXT    NOT NULL DEFAULT '',     -- '' is whatever the workers hold
    max_attempts  INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 1000),
    created_ms    INTEGER NOT NULL,
    -- Counters, moved in the same transaction as the jobs.
    n_ready       INTEGER NOT NULL DEFAULT 0 CHECK (n_ready >= 0),
    n_done        INTEGER NOT NULL DEFAULT 0 CHECK (n_done >= 0),
    n_failed      INTEGER NOT NULL DEFAULT 0 CHECK (n_failed >= 0),
    n_paused      INTEGER NOT NULL DEFAULT 0 CHECK (n_paused >= 0),
    n_cancelled   INTEGER NOT NULL DEFAULT 0 CHECK (n_cancelled >= 0),
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    body_bytes    INTEGER NOT NULL DEFAULT 0,      -- of the finished rows: bytes per token
    first_done_ms INTEGER,
    last_done_ms  INTEGER
) STRICT;

-- Slim: fixed-size integers, never rewritten wide.
CREATE TABLE job (
    job_id        INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    batch_id      INTEGER NOT NULL REFERENCES batch,
    state         INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    generation    INTEGER NOT NULL DEFAULT 0,      -- fencing token: retry and replace add one
    attempts      INTEGER NOT NULL DEFAULT 0,      -- that ended in an error of the job's own
    priority      INTEGER NOT NULL DEFAULT 0,
    prefix_group  INTEGER NOT NULL DEFAULT 0,      -- 0: shares its beginning with nobody
    not_before_ms INTEGER NOT NULL DEFAULT 0,      -- 0: at once
    endpoint      INTEGER NOT NULL,                -- 0 chat completions, 1 completions
    line          INTEGER NOT NULL,                -- in the input file, from 1
    id_hash       INTEGER NOT NULL,                -- 64 bits of custom_id
    body_hash     INTEGER NOT NULL,                -- 64 bits of endpoint and body
    created_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX job_ready   ON job (batch_id, priority, prefix_group, job_id) WHERE state = 0 AND not_before_ms = 0;
CREATE INDEX job_delayed ON job (not_before_ms) WHERE state = 0 AND not_before_ms > 0;
CREATE INDEX job_failed  ON job (batch_id, job_id) WHERE state = 2;
CREATE INDEX job_by_id   ON job (batch_id, id_hash);

-- Wide, written once.
CREATE TABLE prompt (
    job_id    INTEGER PRIMARY KEY REFERENCES job,
    custom_id TEXT NOT NULL,
    body      TEXT NOT NULL
) STRICT;

CREATE TABLE instance (
    instance_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE,         -- of one run of one worker
    name          TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    device        TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    model_hash    TEXT    NOT NULL,
    dtype         TEXT    NOT NULL,
    kv_dtype      TEXT    NOT NULL,
    tp            INTEGER NOT NULL,
    threads       INTEGER NOT NULL,
    kv_tokens     INTEGER NOT NULL,
    max_model_len INTEGER NOT NULL,
    max_num_seqs  INTEGER NOT NULL,
    engine        TEXT    NOT NULL,                -- version and commit
    state         TEXT    NOT NULL CHECK (state IN ('here', 'gone')),
    joined_ms     INTEGER NOT NULL,
    seen_ms       INTEGER NOT NULL
) STRICT;

CREATE TABLE result (
    job_id          INTEGER PRIMARY KEY REFERENCES job,
    instance_id     INTEGER NOT NULL REFERENCES instance,
    attempt         INTEGER NOT NULL,              -- from 1
    finish_reason   TEXT    NOT NULL,
    prompt_tokens   INTEGER NOT NULL,
    cached_tokens   INTEGER NOT NULL,
    output_tokens   INTEGER NOT NULL,
    queue_ms        INTEGER NOT NULL,              -- from the lease to the first step
    prefill_ms      INTEGER NOT NULL,              -- to the first token
    decode_ms       INTEGER NOT NULL,              -- to the last
    done_ms         INTEGER NOT NULL,
    seed            INTEGER NOT NULL,
    batch_invariant INTEGER NOT NULL,              -- 1: other rows in the step could not change the tokens
    text            TEXT    NOT NULL,              -- of choice 0
    choices         TEXT    NOT NULL               -- JSON: all choices; token_ids where the text is not what they spell
) STRICT;
CREATE INDEX result_done ON result (done_ms);

-- Attempts that did not give the result.
CREATE TABLE attempt (
    job_id      INTEGER NOT NULL REFERENCES job,
    n           INTEGER NOT NULL,                  -- in order, from 1; 0: refused when it was submitted
    generation  INTEGER NOT NULL,
    instance_id INTEGER REFERENCES instance,
    ended_ms    INTEGER NOT NULL,
    counts      INTEGER NOT NULL CHECK (counts IN (0, 1)), -- did it use up an attempt?
    code        TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    param       TEXT,
    PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

-- Every few seconds; numbers are since the row before.
CREATE TABLE instance_metric (
    instance_id   INTEGER NOT NULL REFERENCES instance,
    at_ms         INTEGER NOT NULL,
    span_ms       INTEGER NOT NULL,
    rows          INTEGER NOT NULL,                -- finished
    prompt_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    step_ms       INTEGER NOT NULL,                -- time inside steps
    running       INTEGER NOT NULL,
    waiting       INTEGER NOT NULL,
    kv_blocks     INTEGER NOT NULL,
    kv_free       INTEGER NOT NULL,
    PRIMARY KEY (instance_id, at_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_metric_at ON instance_metric (at_ms);

-- The leases as they were at most a second ago: a hint for the next start, nothing more.
CREATE TABLE lease_hint (
    job_id        INTEGER PRIMARY KEY,
    instance_uuid TEXT NOT NULL
) STRICT;

CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    level    TEXT    NOT NULL CHECK (level IN ('error', 'warn', 'info')),
    unit     TEXT    NOT NULL,
    text     TEXT    NOT NULL
) STRICT;
