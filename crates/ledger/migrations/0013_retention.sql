-- When the ticket was first seen closed, ms; nothing while it is open.
ALTER TABLE tickets ADD COLUMN closed_at BIGINT;
-- When the file is to be deleted, ms; nothing while that depends on its ticket, or without a retention.
ALTER TABLE uploads ADD COLUMN expires_at BIGINT;
CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE expires_at IS NOT NULL AND state = 'complete';

-- Tickets whose files nobody may delete.
CREATE TABLE holds (
    ticket     TEXT PRIMARY KEY,
    reason     TEXT NOT NULL,
    -- As in the audit.
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
