-- Objects that partners put into their own buckets with their own tools: those whose keys begin with a number, and those that
-- support wanted verified.
CREATE TABLE partner_objects (
    id          TEXT PRIMARY KEY,
    partner_id  TEXT NOT NULL REFERENCES partners (id),
    object_key  TEXT NOT NULL,
    -- The number at the beginning of the key; none if it has none.
    ticket      TEXT,
    size_bytes  BIGINT NOT NULL,
    etag        TEXT NOT NULL,
    -- When it was first listed, ms.
    seen_at     BIGINT NOT NULL,
    -- The note on the ticket that is about it, recorded before it is written.
    note_id     TEXT,
    noted_at    BIGINT,
    -- Of the bytes with this ETag; none until they are read.
    sha256      TEXT,
    verified_at BIGINT,
    -- Why they could not be read.
    problem     TEXT,
    -- 1 if support asked for it.
    wanted      BIGINT NOT NULL DEFAULT 0,
    UNIQUE (partner_id, object_key)
);
CREATE INDEX partner_objects_by_ticket ON partner_objects (ticket);
CREATE INDEX partner_objects_not_noted ON partner_objects (partner_id, ticket) WHERE noted_at IS NULL;
CREATE INDEX partner_objects_wanted ON partner_objects (partner_id, id) WHERE wanted = 1;
CREATE INDEX partner_objects_not_read ON partner_objects (partner_id, id)
    WHERE sha256 IS NULL AND problem IS NULL AND noted_at IS NOT NULL;
