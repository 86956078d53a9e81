-- 004_plan.sql - machines that offer their devices, the plan for them, and how good instance models are.

CREATE TABLE node (
    node_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    host         TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('here', 'gone')),
    joined_ms    INTEGER NOT NULL,
    seen_ms      INTEGER NOT NULL,
    devices      TEXT    NOT NULL,          -- JSON: [{"name", "device", "bytes"}]
    cores        INTEGER NOT NULL,          -- that it may run on
    memory_bytes INTEGER NOT NULL,          -- that it may use
    usd_per_hour REAL    NOT NULL DEFAULT 0 -- of all of it; 0: not known
) STRICT;

CREATE TABLE plan (
    plan_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('active', 'past')),
    model   TEXT    NOT NULL,
    batch   TEXT    NOT NULL DEFAULT '',    -- whose rows it was made for, or the file's name
    rows    INTEGER NOT NULL,
    seconds REAL    NOT NULL,               -- that they are expected to take
    usd     REAL    NOT NULL DEFAULT 0,     -- 0: prices are not known
    detail  TEXT    NOT NULL DEFAULT '{}'   -- JSON, as nightmill plan --json prints it
) STRICT;
CREATE UNIQUE INDEX plan_active ON plan (state) WHERE state = 'active';

CREATE TABLE plan_instance (
    plan_id    INTEGER NOT NULL REFERENCES plan,
    n          INTEGER NOT NULL,            -- from 1
    node       TEXT    NOT NULL,            -- a node's name
    devices    TEXT    NOT NULL,            -- as --device takes them: cpu, cuda:0,1
    tp         INTEGER NOT NULL,
    dtype      TEXT    NOT NULL,
    kv_dtype   TEXT    NOT NULL,
    kv_tokens  INTEGER NOT NULL,
    rows_per_s REAL    NOT NULL,
    source     TEXT    NOT NULL CHECK (source IN ('measured', 'mixed', 'roofline')), -- of its instance model
    mape       REAL,                        -- percent; NULL: not known
    PRIMARY KEY (plan_id, n)
) STRICT, WITHOUT ROWID;

ALTER TABLE instance_profile ADD COLUMN held_out_mape REAL; -- on steps that the fit did not see, percent; NULL: not known
ALTER TABLE instance_profile ADD COLUMN samples INTEGER NOT NULL DEFAULT 0; -- steps that it was fitted to
ALTER TABLE instance_profile ADD COLUMN shared  INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)); -- others were on the device
ALTER TABLE instance_profile ADD COLUMN drifted INTEGER NOT NULL DEFAULT 0 CHECK (drifted IN (0, 1)); -- live steps have left it
