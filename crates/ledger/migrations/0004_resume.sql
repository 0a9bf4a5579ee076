-- Uploads that go on after an interruption. The offset is the end of the committed parts and of the tail after them.
ALTER TABLE uploads ADD COLUMN parts_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE uploads SET parts_bytes = offset_bytes;
-- 1: kept for the resume window when nobody sends.
ALTER TABLE uploads ADD COLUMN resumable BIGINT NOT NULL DEFAULT 0;
-- How often a tail was written: an upload with none leaves none behind.
ALTER TABLE uploads ADD COLUMN tails_written BIGINT NOT NULL DEFAULT 0;
-- Digests of the whole file announced when it began: `md5 HEX,sha-256 HEX`.
ALTER TABLE uploads ADD COLUMN announced TEXT NOT NULL DEFAULT '';
-- What a tus client said of the file, as it said it.
ALTER TABLE uploads ADD COLUMN tus_metadata TEXT;

-- Bytes after the last committed part, too few for a part: objects of their own, in order, without gaps.
CREATE TABLE tails (
    upload_id    TEXT NOT NULL REFERENCES uploads (id),
    offset_bytes BIGINT NOT NULL,
    size_bytes   BIGINT NOT NULL,
    crc64        TEXT NOT NULL,
    object_key   TEXT NOT NULL,
    PRIMARY KEY (upload_id, offset_bytes)
);
