-- An upload that turned out to be a file sent before: its copy was dropped, its address answers with the first's receipt.
CREATE TABLE duplicates (
    upload_id   TEXT PRIMARY KEY REFERENCES uploads (id),
    original_id TEXT NOT NULL REFERENCES uploads (id)
);
