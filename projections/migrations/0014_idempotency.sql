-- Answers of the gateway to requests that had an Idempotency-Key; see schema.sql.

CREATE TABLE idempotency (
    key_digest     bytea       PRIMARY KEY,        -- of caller and key, under a key of the key store
    request_digest bytea       NOT NULL,           -- of what was asked, likewise
    answer         bytea       STORAGE EXTERNAL,   -- packed; null: at work, or broken off
    claimed_until  timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
