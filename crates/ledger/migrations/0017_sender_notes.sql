-- What senders write to support. Each becomes one private note on its ticket.
CREATE TABLE sender_notes (
    id         TEXT PRIMARY KEY,
    link_id    TEXT NOT NULL REFERENCES links (id),
    partner_id TEXT NOT NULL REFERENCES partners (id),
    ticket     TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it was on the ticket, ms.
    told_at    BIGINT
);
CREATE INDEX sender_notes_by_ticket ON sender_notes (ticket) WHERE told_at IS NULL;
CREATE INDEX sender_notes_by_link ON sender_notes (link_id, created_at);
