-- Keys of the gateway's callers, and what tells two runs of the same bytes; see schema.sql.

-- Keys by which callers of the gateway are known: hashes only, from the operations topic and from nothing else.
CREATE TABLE credential (
    credential_id  text        COLLATE "C" PRIMARY KEY,
    role           text        COLLATE "C" NOT NULL,
    payer          text        COLLATE "C" NOT NULL,   -- empty: of no one payer, as an operator's
    plan           text        COLLATE "C" NOT NULL,
    practice       text        COLLATE "C" NOT NULL,
    name           text        COLLATE "C" NOT NULL,   -- tells callers of one tenant apart
    scopes         text[]      COLLATE "C" NOT NULL,
    secret_digest  text        COLLATE "C" NOT NULL,   -- HMAC-SHA256 under the pepper of the key store
    created_at     timestamptz NOT NULL,
    created_by     text        NOT NULL,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    revoked_by     text,
    revoked_why    text,
    log_offset     bigint      NOT NULL                -- of the event that made it, in the operations topic
);

ALTER TABLE file_run ADD COLUMN content text COLLATE "C" NOT NULL DEFAULT '';
