-- Files that support asks for on tickets.
CREATE TABLE asks (
    id           TEXT PRIMARY KEY,
    ticket       TEXT NOT NULL,
    -- What to send, in support's words: one line.
    wanted       TEXT NOT NULL,
    -- The comment and line that it was read from; none if support used the gateway.
    origin       TEXT UNIQUE,
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
CREATE INDEX asks_by_ticket ON asks (ticket, id);
CREATE INDEX asks_by_upload ON asks (upload_id) WHERE upload_id IS NOT NULL;

-- Which of them the sender said that the file is: an ID, or `none`. Nothing if the name decides.
ALTER TABLE uploads ADD COLUMN ask TEXT;
