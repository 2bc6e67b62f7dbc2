-- Endpoints of feeds, what each was sent or is owed, and attempts; and indexes of what feeds read: see schema.sql.

CREATE INDEX settlement_by_maker ON settlement (payer, made_by);
CREATE INDEX settlement_payment_by_maker ON settlement_payment (payer, made_by);
CREATE INDEX employer_outcome_by_maker ON employer_outcome (payer, made_by);

-- Where subscribers have their feed sent. Of no log: a dropped database forgets them. Secrets are sealed.
CREATE TABLE webhook_endpoint (
    endpoint_id   uuid        PRIMARY KEY,
    role          text        COLLATE "C" NOT NULL, -- payer, employer or practice: whose feed it is
    payer         text        COLLATE "C" NOT NULL,
    plan          text        COLLATE "C" NOT NULL,
    practice      text        COLLATE "C" NOT NULL,
    url           text        NOT NULL,
    event_types   text[]      NOT NULL,             -- none: all
    at_once       int         NOT NULL,
    secret        bytea       NOT NULL,
    old_secret    bytea,                            -- signs too, until a time
    old_until     timestamptz,
    status        text        NOT NULL,             -- active, paused, disabled
    why           text        NOT NULL,
    generation    bigint      NOT NULL DEFAULT 0,   -- counts changes by others than the deliverer
    round         int         NOT NULL DEFAULT 0,   -- counts replays: an event is known of the same round
    history       bigint,                           -- with the next four: behind which event it stands; null: before all
    made_by       bigint      NOT NULL DEFAULT 0,
    subject       text        COLLATE "C" NOT NULL DEFAULT '',
    sequence      bigint      NOT NULL DEFAULT 0,
    event_id      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    failing_since timestamptz,
    strikes       int         NOT NULL DEFAULT 0,   -- failures since the last success
    probe_at      timestamptz,
    created_at    timestamptz NOT NULL,
    created_by    text        NOT NULL
);
CREATE INDEX webhook_endpoint_of_subscriber ON webhook_endpoint (payer, plan, practice);

-- What an endpoint was sent or is owed: each event once. The bytes are read again at each attempt.
CREATE TABLE webhook_delivery (
    endpoint_id  uuid        NOT NULL,
    event_id     uuid        NOT NULL,
    role         text        COLLATE "C" NOT NULL,
    payer        text        COLLATE "C" NOT NULL,
    plan         text        COLLATE "C" NOT NULL,
    practice     text        COLLATE "C" NOT NULL,
    ordinal      bigserial   NOT NULL,              -- in the order of the feed, for one endpoint
    subject      text        COLLATE "C" NOT NULL,
    type         text        NOT NULL,
    status       text        NOT NULL,              -- waiting, delivered, failed, gone
    attempts     int         NOT NULL,
    round        int         NOT NULL DEFAULT 0,
    queued_at    timestamptz NOT NULL,
    next_at      timestamptz NOT NULL,
    done_at      timestamptz,
    PRIMARY KEY (endpoint_id, event_id)
);
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (endpoint_id, next_at) WHERE status = 'waiting';
CREATE INDEX webhook_delivery_in_order ON webhook_delivery (endpoint_id, ordinal);

-- Every attempt, for some weeks.
CREATE TABLE webhook_attempt (
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    role        text        COLLATE "C" NOT NULL,
    payer       text        COLLATE "C" NOT NULL,
    plan        text        COLLATE "C" NOT NULL,
    practice    text        COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    outcome     text        NOT NULL,
    http_status int,
    ms          int         NOT NULL
);
CREATE INDEX webhook_attempt_of_event ON webhook_attempt (endpoint_id, event_id, at);
CREATE INDEX webhook_attempt_by_age ON webhook_attempt (at);
