-- A job is about its subject: an upload (`upload_id`) or anything else (`subject`), with or without a ticket. Older gateways
-- continue to write and read jobs of uploads. This locks `jobs` alone, so it cannot deadlock with them.
ALTER TABLE jobs ALTER COLUMN upload_id DROP NOT NULL;
ALTER TABLE jobs ALTER COLUMN ticket DROP NOT NULL;
ALTER TABLE jobs ADD COLUMN subject TEXT;
-- What the job needs to know beyond its subject; its kind defines the format.
ALTER TABLE jobs ADD COLUMN payload TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX jobs_by_subject ON jobs (kind, subject);
