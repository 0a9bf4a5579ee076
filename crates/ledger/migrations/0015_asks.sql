-- Which file that support asks for an upload is, as its sender said: an ID, or `none`. Nothing if the name decides. First: the
-- reference below then waits for nothing that waits for this.
ALTER TABLE uploads ADD COLUMN ask TEXT;

-- Files that support asks for on tickets.
CREATE TABLE asks (
    id           TEXT PRIMARY KEY,
    ticket       TEXT NOT NULL,
    -- What to send, in support's words: one line.
    wanted       TEXT NOT NULL,
    -- Its place among those asked for at once.
    place        BIGINT NOT NULL,
    asked_by     TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    -- When a comment on the ticket said so, ms.
    told_at      BIGINT,
    withdrawn_at BIGINT,
    -- The file that arrived; none while it is missing.
    upload_id    TEXT REFERENCES uploads (id),
    arrived_at   BIGINT,
    -- 1 if a note on the ticket said so.
    arrival_told BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX asks_by_ticket ON asks (ticket, created_at);
CREATE INDEX asks_by_upload ON asks (upload_id) WHERE upload_id IS NOT NULL;
