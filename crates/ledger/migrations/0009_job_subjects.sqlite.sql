-- A job is about its subject: an upload (`upload_id`) or anything else (`subject`), with or without a ticket.
-- SQLite cannot drop NOT NULL from a column, so the table is made anew.
CREATE TABLE new_jobs (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    upload_id   TEXT REFERENCES uploads (id),
    ticket      TEXT,
    run_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    last_error  TEXT,
    created_at  BIGINT NOT NULL,
    subject     TEXT,
    -- What the job needs to know beyond its subject; its kind defines the format.
    payload     TEXT NOT NULL DEFAULT '',
    UNIQUE (kind, upload_id),
    UNIQUE (kind, subject)
);
INSERT INTO new_jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, last_error, created_at)
    SELECT id, kind, upload_id, ticket, run_at, lease_until, attempts, last_error, created_at FROM jobs;
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
CREATE INDEX jobs_due ON jobs (kind, run_at);
CREATE INDEX jobs_by_ticket ON jobs (ticket, kind);
