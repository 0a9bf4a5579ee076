-- MD5 of the file, hex, once somebody asked for it: computed as it came, or from what rests.
ALTER TABLE uploads ADD COLUMN md5 TEXT;

-- What side files said of an upload while it was on its way, and that could not be compared when it was complete.
CREATE TABLE uncompared (
    upload_id TEXT NOT NULL REFERENCES uploads (id),
    algorithm TEXT NOT NULL,
    digest    TEXT NOT NULL,
    PRIMARY KEY (upload_id, algorithm)
);
