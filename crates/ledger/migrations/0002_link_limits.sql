-- What a link may hold that is not complete, and how often it may ask; NULL: as the configuration says.
ALTER TABLE links ADD COLUMN max_unfinished_bytes BIGINT;
ALTER TABLE links ADD COLUMN max_requests_per_minute BIGINT;
