-- People: contacts in Slack, tickets that partners open, their case numbers, escalations, hooks, notes about organisations.
ALTER TABLE contacts ADD COLUMN slack_user_id TEXT;
ALTER TABLE contacts ADD COLUMN disabled_at BIGINT;

-- The link that this one was made with: it ends with that.
ALTER TABLE links ADD COLUMN parent_id TEXT REFERENCES links (id);
CREATE INDEX links_by_ticket ON links (ticket);
CREATE INDEX links_by_parent ON links (parent_id);

-- One row for each ticket that a partner opens here, written before the desk is asked, so that a retry finds it.
CREATE TABLE opened_tickets (
    key_hash    TEXT PRIMARY KEY,
    fields_hash TEXT NOT NULL,
    -- The desk has it, too.
    external_id TEXT NOT NULL UNIQUE,
    link_id     TEXT NOT NULL REFERENCES links (id),
    -- None until the desk has it.
    ticket      TEXT,
    created_at  BIGINT NOT NULL
);

CREATE TABLE case_numbers (
    partner_id  TEXT NOT NULL REFERENCES partners (id),
    -- In upper case.
    case_number TEXT NOT NULL,
    ticket      TEXT NOT NULL,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (partner_id, case_number, ticket)
);

CREATE TABLE escalations (
    id           TEXT PRIMARY KEY,
    reference    TEXT NOT NULL UNIQUE,
    partner_id   TEXT NOT NULL REFERENCES partners (id),
    ticket       TEXT NOT NULL,
    -- Partner and ticket until it is resolved or declined: a partner has one open escalation of a ticket.
    open_key     TEXT UNIQUE,
    -- Where it came from, as in the audit.
    actor        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    actions      TEXT NOT NULL,
    urgency      TEXT NOT NULL,
    emergency    BIGINT NOT NULL,
    hints        TEXT NOT NULL,
    state        TEXT NOT NULL,
    state_reason TEXT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    -- How often the same ticket was escalated again meanwhile.
    joined       BIGINT NOT NULL DEFAULT 0,
    -- How often that made it more urgent, or an emergency.
    raised       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX escalations_by_ticket ON escalations (ticket, id);
CREATE INDEX escalations_by_partner ON escalations (partner_id, id);

-- Requests and deliveries that escalated, by name: a repetition finds what the first one did.
CREATE TABLE escalation_origins (
    origin        TEXT PRIMARY KEY,
    fields_hash   TEXT NOT NULL,
    escalation_id TEXT NOT NULL REFERENCES escalations (id),
    joined        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

-- Steps of a job that are done, so that a retry does not repeat them.
CREATE TABLE steps (
    subject TEXT NOT NULL,
    step    TEXT NOT NULL,
    -- When it was first attempted, ms.
    begun_at BIGINT NOT NULL,
    -- When it was done, ms.
    done_at BIGINT,
    result  TEXT,
    PRIMARY KEY (subject, step)
);

-- Deliveries of hooks that were accepted: a second one has no effect.
CREATE TABLE hook_events (
    id          TEXT PRIMARY KEY,
    received_at BIGINT NOT NULL
);
CREATE INDEX hook_events_by_time ON hook_events (received_at);

CREATE TABLE organization_notes (
    partner_id      TEXT PRIMARY KEY REFERENCES partners (id),
    organization_id BIGINT NOT NULL,
    notes           TEXT NOT NULL,
    details         TEXT NOT NULL,
    -- JSON.
    fields          TEXT NOT NULL,
    fetched_at      BIGINT NOT NULL
);

-- Where polling the desk continues.
CREATE TABLE cursors (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
