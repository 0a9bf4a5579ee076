-- Browsers in which support has signed in with a staff token.
CREATE TABLE sessions (
    token_hash     TEXT PRIMARY KEY,
    staff_token_id TEXT NOT NULL REFERENCES staff_tokens (id),
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL
);
