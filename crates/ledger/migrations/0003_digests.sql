-- What side files say of the next upload of a name on a link.
CREATE TABLE announced (
    link_id   TEXT NOT NULL REFERENCES links (id),
    name      TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    digest    TEXT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (link_id, name, algorithm)
);

-- A digest that came after the file and is not the file's: algorithm, digest announced, digest of the file.
ALTER TABLE uploads ADD COLUMN mismatch TEXT;
