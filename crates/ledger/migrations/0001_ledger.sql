-- One text for SQLite and Postgres: BIGINT for integers, times (ms since 1970, UTC) and booleans (0/1), TEXT for the rest.
CREATE TABLE partners (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    organization_id BIGINT,
    created_at      BIGINT NOT NULL,
    disabled_at     BIGINT
);

CREATE TABLE contacts (
    id         TEXT PRIMARY KEY,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (partner_id, email)
);

CREATE TABLE links (
    id         TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    partner_id TEXT NOT NULL REFERENCES partners (id),
    contact_id TEXT REFERENCES contacts (id),
    ticket     TEXT,
    rights     TEXT NOT NULL,
    max_bytes  BIGINT,
    max_open   BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE staff_tokens (
    id         TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE uploads (
    id              TEXT PRIMARY KEY,
    link_id         TEXT NOT NULL REFERENCES links (id),
    partner_id      TEXT NOT NULL REFERENCES partners (id),
    ticket          TEXT NOT NULL,
    name            TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    bucket          TEXT NOT NULL,
    object_key      TEXT NOT NULL,
    state           TEXT NOT NULL,
    epoch           BIGINT NOT NULL,
    offset_bytes    BIGINT NOT NULL,
    length_bytes    BIGINT,
    multipart_id    TEXT,
    sha256_state    TEXT,
    crc64           TEXT,
    sha256          TEXT,
    checked         TEXT NOT NULL,
    destination     TEXT,
    delivery        TEXT,
    delivery_detail TEXT,
    desk_token      TEXT,
    desk_token_until BIGINT,
    dedupe_key      TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    completed_at    BIGINT,
    attempts_until  BIGINT NOT NULL,
    swept_at        BIGINT
);
CREATE INDEX uploads_by_ticket ON uploads (ticket, id);
CREATE INDEX uploads_by_partner ON uploads (partner_id, id);
CREATE INDEX uploads_by_link ON uploads (link_id, state, name);
CREATE INDEX uploads_by_state ON uploads (state, swept_at);

CREATE TABLE parts (
    upload_id    TEXT NOT NULL REFERENCES uploads (id),
    number       BIGINT NOT NULL,
    epoch        BIGINT NOT NULL,
    offset_bytes BIGINT NOT NULL,
    size_bytes   BIGINT NOT NULL,
    crc64        TEXT NOT NULL,
    etag         TEXT,
    deadline     BIGINT NOT NULL,
    PRIMARY KEY (upload_id, number)
);

-- The first upload of a link, ticket, name and SHA-256 within 24 h: a retry is answered with its receipt.
CREATE TABLE originals (
    dedupe_key TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL REFERENCES uploads (id),
    claimed_at BIGINT NOT NULL
);

CREATE TABLE idempotency (
    key_hash     TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    length_bytes BIGINT,
    digest       TEXT,
    attempt      TEXT NOT NULL,
    upload_ids   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    done_at      BIGINT
);

CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    upload_id   TEXT NOT NULL REFERENCES uploads (id),
    ticket      TEXT NOT NULL,
    run_at      BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    last_error  TEXT,
    created_at  BIGINT NOT NULL,
    UNIQUE (kind, upload_id)
);
CREATE INDEX jobs_due ON jobs (kind, run_at);
CREATE INDEX jobs_by_ticket ON jobs (ticket, kind);

CREATE TABLE tickets (
    ticket          TEXT PRIMARY KEY,
    organization_id BIGINT,
    closed          BIGINT NOT NULL,
    checked_at      BIGINT NOT NULL,
    lease_until     BIGINT NOT NULL,
    last_note_at    BIGINT NOT NULL
);

-- Every update this gateway made to a ticket in the last ten minutes, for the desk's limit.
CREATE TABLE ticket_updates (
    id     TEXT PRIMARY KEY,
    ticket TEXT NOT NULL,
    at     BIGINT NOT NULL
);
CREATE INDEX ticket_updates_by_ticket ON ticket_updates (ticket, at);

CREATE TABLE audit (
    id      TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
