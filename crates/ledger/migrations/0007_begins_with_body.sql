-- 1: the request that makes the upload brings its first bytes, and tells its sender of it only after them. Nobody can go on
-- with one of which nothing is durable.
ALTER TABLE uploads ADD COLUMN begins_with_body BIGINT NOT NULL DEFAULT 0;
