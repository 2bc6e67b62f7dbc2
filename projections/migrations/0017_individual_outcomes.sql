-- Authorizations to tell a recipient of a person's return to work, from the log. A revocation heard first stands alone.
CREATE TABLE authorization_held (
    payer            text   COLLATE "C" NOT NULL,
    plan             text   COLLATE "C" NOT NULL,   -- the person's
    member           text   COLLATE "C" NOT NULL,
    authorization_id text   COLLATE "C" NOT NULL,
    recipient        text   COLLATE "C" NOT NULL,   -- the plan that may be told; empty: only its revocation is known
    signed_on        date,
    expires_on       date,
    log_offset       bigint NOT NULL,               -- of the first fact about it, in the member's partition
    revoked_at       bigint,                        -- offset of its revocation
    PRIMARY KEY (payer, member, authorization_id)
);

-- What is told under them, one row a status: sealed under the authorization's own key, which goes when it ends.
CREATE TABLE individual_outcome (
    number           bigserial PRIMARY KEY,         -- in the order of commits: one transaction of a payer at a time
    payer            text   COLLATE "C" NOT NULL,
    plan             text   COLLATE "C" NOT NULL,   -- the recipient
    event_id         uuid   NOT NULL UNIQUE,
    member           text   COLLATE "C" NOT NULL,
    authorization_id text   COLLATE "C" NOT NULL,
    signed_on        date   NOT NULL,
    expires_on       date   NOT NULL,
    revoked          boolean NOT NULL DEFAULT false,
    sealed           bytea                          -- null: over
);
CREATE INDEX individual_outcome_of_recipient ON individual_outcome (payer, plan, number);
CREATE INDEX individual_outcome_of_authorization ON individual_outcome (payer, member, authorization_id);

-- How far each log was read for them.
CREATE TABLE individual_position (
    payer       text   COLLATE "C" NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (payer, partition)
);
