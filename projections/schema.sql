-- The tables as they stand after the last migration. A test holds this page against migrations/*.sql.
--
-- Everything here can be computed again from the logs. No compared column comes from a sequence, the clock or a random
-- id (`outbox_id`, `epoch`, `owner`, `since`, `made_by` are not compared). Texts that are keys sort by bytes, on every machine alike.
-- Tables name no schema, so that a rebuild can write beside the live ones.

-- How far each consumer has read. Its row is also the lock and the fence of the partition's owner.
CREATE TABLE consumer_offset (
    consumer    text   COLLATE "C" NOT NULL,   -- contract | requests | rejects | operations
    topic       text   COLLATE "C" NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    epoch       bigint NOT NULL DEFAULT 0,     -- of the last claim
    owner       text   NOT NULL DEFAULT '',
    log_id      text,                          -- from LogOpened at offset 0; null before it was read
    last_digest text,                          -- of the bytes of the record before next_offset
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

CREATE SEQUENCE claim_epoch;

-- Which stretches of a log were applied together: their chain over every stored byte, and when each was known.
CREATE TABLE log_batch (
    topic        text   COLLATE "C" NOT NULL,
    partition    int    NOT NULL,
    first_offset bigint NOT NULL,
    next_offset  bigint NOT NULL,
    known_at     bigint NOT NULL,                  -- the latest append time up to here, milliseconds since 1970
    chain        bytea  NOT NULL,                  -- over the records before next_offset (streams/chain.py)
    steps        bigint[] NOT NULL,                -- offset, append time: wherever it exceeds all before it
    marks        bytea  NOT NULL,                  -- the first 8 bytes of each record's leaf
    PRIMARY KEY (topic, partition, next_offset)
) WITH (toast_tuple_target = 8160);
ALTER TABLE log_batch ALTER COLUMN marks SET STORAGE EXTERNAL;
CREATE INDEX log_batch_by_time ON log_batch (topic, partition, known_at);

-- Every fact taken in, one row each; the bytes stay in Kafka. Sub-partitions: make_fact_partitions().
CREATE TABLE fact (
    payer      text        COLLATE "C" NOT NULL,
    partition  int         NOT NULL,
    log_offset bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    type       text        COLLATE "C" NOT NULL,
    plan       text        COLLATE "C" NOT NULL,
    member     text        COLLATE "C" NOT NULL,  -- '' for a broadcast
    digest     text        COLLATE "C" NOT NULL,
    known_at   timestamptz NOT NULL,
    CONSTRAINT fact_event_id UNIQUE (event_id, payer, partition)
) PARTITION BY LIST (partition);
CREATE INDEX fact_of_member ON fact (member, payer, log_offset);
CREATE INDEX fact_by_offset ON fact USING brin (log_offset);

-- Makes the sub-partitions of `fact` that are missing, one for each log partition below `count`; answers how many.
-- Runs with the owner's rights, so that a worker that claims a partition may call it.
CREATE FUNCTION make_fact_partitions(count int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    made int := 0;
BEGIN
    FOR number IN 0 .. least(count, 1000) - 1 LOOP
        IF to_regclass(format('%I.%I', current_schema(), 'fact_p' || number)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF fact FOR VALUES IN (%s)', 'fact_p' || number, number);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;

-- What the fold remembers of a member, by parts (contracts/parts.py), msgpack.
CREATE TABLE state_part (
    payer      text   COLLATE "C" NOT NULL,
    partition  int    NOT NULL,
    member     text   COLLATE "C" NOT NULL,
    kind       text   COLLATE "C" NOT NULL,
    key        text   COLLATE "C" NOT NULL,
    data       bytea  NOT NULL,
    log_offset bigint NOT NULL,                   -- of the fact that last changed it
    PRIMARY KEY (payer, member, kind, key)
) WITH (fillfactor = 75, toast_tuple_target = 8160);
ALTER TABLE state_part ALTER COLUMN data SET STORAGE EXTERNAL;  -- written often, read once: not worth compressing
CREATE INDEX state_head ON state_part (payer, partition, member) WHERE kind = 'head';

-- The next day on which time alone changes something for a member.
CREATE TABLE due (
    payer     text COLLATE "C" NOT NULL,
    partition int  NOT NULL,
    member    text COLLATE "C" NOT NULL,
    due_on    date NOT NULL,
    PRIMARY KEY (payer, member)
) WITH (fillfactor = 75);
CREATE INDEX due_by_day ON due (payer, partition, due_on);

-- What a partition's log has adopted so far: terms, clauses, time, practices (contracts/parts.py: Adoption), msgpack.
CREATE TABLE partition_state (
    payer      text   COLLATE "C" NOT NULL,
    partition  int    NOT NULL,
    data       bytea  NOT NULL,
    log_offset bigint NOT NULL,
    PRIMARY KEY (payer, partition)
);

-- Versions of episodes, append-only; in force from `from_offset` until `to_offset` (null: still).
CREATE TABLE episode (
    payer              text    COLLATE "C" NOT NULL,
    plan               text    COLLATE "C" NOT NULL,
    contract           text    COLLATE "C" NOT NULL,
    episode_id         uuid    NOT NULL,
    version            int     NOT NULL,           -- 1, 2, 3, ...
    member             text    COLLATE "C" NOT NULL,
    partition          int     NOT NULL,
    from_offset        bigint  NOT NULL,
    to_offset          bigint,
    cause_event_id     uuid    NOT NULL,
    started_on         date    NOT NULL,
    ends_on            date    NOT NULL,
    performance_period int     NOT NULL,
    cancer_type        text    NOT NULL,
    status             text    NOT NULL,
    void_reason        text    NOT NULL,
    included           boolean NOT NULL,
    exclusion          text    NOT NULL,
    practice           text    NOT NULL,
    opened_by          text    NOT NULL,
    closed             boolean NOT NULL,
    known_at           timestamptz NOT NULL,       -- when the log learned what made it
    made_by            xid8    NOT NULL DEFAULT pg_current_xact_id(), -- the order of feeds (feed.py)
    PRIMARY KEY (episode_id, version)
) WITH (fillfactor = 80);
CREATE INDEX episode_of_member ON episode (payer, member);
CREATE INDEX episode_by_maker ON episode (payer, made_by);

-- Returns to work, versions as of episodes; no row of it leaves the platform. What is known once a day has closed.
CREATE TABLE return_to_work (
    payer          text    COLLATE "C" NOT NULL,
    plan           text    COLLATE "C" NOT NULL,
    contract       text    COLLATE "C" NOT NULL,
    episode_id     uuid    NOT NULL,
    version        int     NOT NULL,               -- 1, 2, 3, ...
    member         text    COLLATE "C" NOT NULL,
    partition      int     NOT NULL,
    from_offset    bigint  NOT NULL,
    to_offset      bigint,
    cause_event_id uuid    NOT NULL,
    eligible       boolean NOT NULL,               -- false: the person is no longer followed
    status         text    NOT NULL,               -- none, absent, observed, sustained, lapsed, died, exited, censored
    competing_cause int    NOT NULL,               -- 1 returned, 2 died, 3 disabled or left, 0 none yet or censored
    absence_on     date,
    partial_on     date,                           -- of a partial return that is confirmed
    returned_on    date,                           -- of a full one, confirmed or not
    confirmed_on   date,
    held_days      int     NOT NULL,               -- 0, 28, 90
    lapsed_on      date,
    ended_on       date,                           -- of the competing cause
    duty           text    NOT NULL,
    conflict       boolean NOT NULL,               -- the first two sources are too far apart: nothing is paid
    PRIMARY KEY (episode_id, version)
) WITH (fillfactor = 80);
CREATE INDEX return_to_work_of_member ON return_to_work (payer, member);

-- By how much each fact moved an episode's expenditure, and what it was then.
CREATE TABLE episode_spend (
    payer       text   COLLATE "C" NOT NULL,
    partition   int    NOT NULL,
    episode_id  uuid   NOT NULL,
    log_offset  bigint NOT NULL,
    delta_cents bigint NOT NULL,
    total_cents bigint NOT NULL,
    PRIMARY KEY (episode_id, log_offset)
);

-- Determinations and their exact reversals. `event` is what is emitted, byte for byte.
CREATE TABLE payment (
    payer        text   COLLATE "C" NOT NULL,
    plan         text   COLLATE "C" NOT NULL,
    contract     text   COLLATE "C" NOT NULL,
    payment_id   uuid   PRIMARY KEY,
    kind         text   NOT NULL,
    amount_cents bigint NOT NULL,
    member       text   COLLATE "C" NOT NULL,
    episode_id   uuid,
    practice     text   NOT NULL,
    period       text   NOT NULL,
    effective_on date   NOT NULL,
    reverses     uuid,
    supersedes   uuid,
    cause        uuid   NOT NULL,
    sequence     bigint NOT NULL,                  -- of the member's emitted events
    partition    int    NOT NULL,
    log_offset   bigint NOT NULL,
    to_offset    bigint,                           -- payments are not superseded in place; always null
    event        bytea  NOT NULL,
    made_by      xid8   NOT NULL DEFAULT pg_current_xact_id() -- the order of feeds (feed.py)
) WITH (toast_tuple_target = 8160);
ALTER TABLE payment ALTER COLUMN event SET STORAGE EXTERNAL;
CREATE INDEX payment_of_member ON payment (payer, member);
CREATE INDEX payment_of_episode ON payment (episode_id);
CREATE INDEX payment_by_maker ON payment (payer, made_by);

-- Double entry: the lines of a payment sum to zero.
CREATE TABLE ledger_line (
    payer        text   COLLATE "C" NOT NULL,
    payment_id   uuid   NOT NULL,
    line         int    NOT NULL,
    account      text   NOT NULL,
    party        text   NOT NULL,
    amount_cents bigint NOT NULL,
    partition    int    NOT NULL,
    log_offset   bigint NOT NULL,
    PRIMARY KEY (payment_id, line)
);

-- What is decided and not yet on its topic. The relay takes rows that are still there, by whatever id.
CREATE TABLE outbox (
    outbox_id  bigserial PRIMARY KEY,
    payer      text   COLLATE "C" NOT NULL,
    topic      text   COLLATE "C" NOT NULL,
    key        bytea  NOT NULL,
    value      bytea,                             -- null: the event of the payment of this id
    event_id   uuid   NOT NULL,
    partition  int    NOT NULL,                    -- of the log position that caused it
    log_offset bigint NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE outbox ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX outbox_of_payer ON outbox (payer, outbox_id);

-- How far each output topic is known to hold what was sent; moves in the transaction that deletes from the outbox.
CREATE TABLE output_position (
    payer       text   COLLATE "C" NOT NULL,
    topic       text   COLLATE "C" NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Ids that output topics already have though the fold has not made their rows yet (the database was dropped): when such
-- a row comes, the relay strikes it. Empty in normal running.
CREATE TABLE output_found (
    payer    text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (payer, event_id)
);

-- Who may relay a shard, until when by the database's clock; a take-over raises the epoch.
CREATE TABLE relay_lease (
    shard      text        COLLATE "C" PRIMARY KEY,
    owner      text        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

-- What could not be taken in, with its place and its remedy. Carries no patient data; the raw bytes are sealed in Kafka.
CREATE TABLE reject (
    reject_id   uuid        PRIMARY KEY,
    payer       text        COLLATE "C" NOT NULL,
    plan        text        COLLATE "C" NOT NULL DEFAULT '',
    topic       text        COLLATE "C" NOT NULL,  -- the position of the record, or of the reject's own event
    partition   int         NOT NULL,
    log_offset  bigint      NOT NULL,
    code        text        COLLATE "C" NOT NULL,
    reason      text        NOT NULL,
    remedy      text        NOT NULL,
    place_file  text        NOT NULL DEFAULT '',
    place_line  bigint      NOT NULL DEFAULT 0,
    place_field text        NOT NULL DEFAULT '',
    event_id    uuid,
    rows        int         NOT NULL DEFAULT 1,
    known_at    timestamptz NOT NULL
);
CREATE INDEX reject_by_payer ON reject (payer, known_at);

-- Members whose fold raised: their facts from `log_offset` on are stored and wait, until released.
CREATE TABLE parked_member (
    payer      text        COLLATE "C" NOT NULL,
    partition  int         NOT NULL,
    member     text        COLLATE "C" NOT NULL,
    log_offset bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    reason     text        NOT NULL,               -- the error's class and where it was raised; no patient data
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payer, member)
);

-- Partitions that stand still, and why: no terms adopted, another build, another log.
CREATE TABLE halted_partition (
    payer      text        COLLATE "C" NOT NULL,
    partition  int         NOT NULL,
    log_offset bigint      NOT NULL,
    reason     text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payer, partition)
);

-- Settlements asked for at a cut; waiting until every log partition has reached it.
CREATE TABLE request (
    payer           text        COLLATE "C" NOT NULL,
    request_id      text        COLLATE "C" NOT NULL,
    contract        text        COLLATE "C" NOT NULL,
    period          int         NOT NULL,
    run             text        NOT NULL,
    cut             jsonb       NOT NULL,          -- next offset by log partition
    event_id        uuid        NOT NULL,
    topic           text        COLLATE "C" NOT NULL,
    log_offset      bigint      NOT NULL,          -- in the requests topic
    known_at        timestamptz NOT NULL,
    status          text        NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'answered', 'refused')),
    reason          text        NOT NULL DEFAULT '',
    answer_event_id uuid,
    answer          bytea,                         -- the emitted SettlementAnswered, byte for byte
    PRIMARY KEY (payer, request_id)
);
CREATE INDEX request_waiting ON request (payer) WHERE status = 'waiting';

-- Answers to settlement requests, one for each practice (practice '': episodes that no practice is attributed).
CREATE TABLE settlement (
    payer         text   COLLATE "C" NOT NULL,
    request_id    text   COLLATE "C" NOT NULL,
    practice      text   COLLATE "C" NOT NULL,
    settlement_id uuid   NOT NULL,
    log_offset    bigint NOT NULL,                 -- of the request, in the requests topic
    event         bytea  NOT NULL,                 -- the emitted SettlementAnswered, byte for byte
    statement     bytea,                           -- JSON, where the contract settles periods
    pack          bytea,                           -- the contest pack's JSON, deflated
    plan          text   COLLATE "C" NOT NULL DEFAULT '', -- the employer's, where there are plans
    made_by       xid8  NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (payer, request_id, plan, practice)
);

-- Determinations of settlements and their exact reversals, a practice's for a period. `event` is what is emitted.
CREATE TABLE settlement_payment (
    payer        text   COLLATE "C" NOT NULL,
    contract     text   COLLATE "C" NOT NULL,
    payment_id   uuid   PRIMARY KEY,
    kind         text   NOT NULL,                  -- PBP, PBR, MEOS_RECOUPMENT; employers: WITHHOLD_RELEASE, ...
    amount_cents bigint NOT NULL,                  -- below 0 the practice owes
    practice     text   COLLATE "C" NOT NULL,
    period       text   COLLATE "C" NOT NULL,      -- PP4
    effective_on date   NOT NULL,
    reverses     uuid,
    supersedes   uuid,
    cause        uuid   NOT NULL,                  -- the request's event
    ordinal      int    NOT NULL,                  -- among the practice's payments of the run
    request_id   text   COLLATE "C" NOT NULL,
    log_offset   bigint NOT NULL,                  -- of the request, in the requests topic
    event        bytea  NOT NULL,
    plan         text   COLLATE "C" NOT NULL DEFAULT '',
    made_by      xid8   NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX settlement_payment_of_practice ON settlement_payment (payer, practice, period);

-- Double entry of settlements: the lines of a payment sum to zero.
CREATE TABLE settlement_ledger_line (
    payer        text   COLLATE "C" NOT NULL,
    payment_id   uuid   NOT NULL,
    line         int    NOT NULL,
    account      text   NOT NULL,
    party        text   NOT NULL,
    amount_cents bigint NOT NULL,
    log_offset   bigint NOT NULL,
    PRIMARY KEY (payment_id, line)
);

-- What operators did, from the operations topic and from nothing else. Carries no patient data: a member is a token.
CREATE TABLE operation (
    event_id   uuid        PRIMARY KEY,
    payer      text        COLLATE "C" NOT NULL,
    plan       text        COLLATE "C" NOT NULL,
    type       text        COLLATE "C" NOT NULL,
    by         text        NOT NULL,               -- the principal, and the user of the machine
    data       jsonb       NOT NULL,               -- the event's own fields
    partition  int         NOT NULL,
    log_offset bigint      NOT NULL,
    known_at   timestamptz NOT NULL
);
CREATE INDEX operation_by_payer ON operation (payer, log_offset);

-- Files taken in, one row for each run. Rows of the input; exact once the projection was waited for.
CREATE TABLE file_run (
    run_id         text        COLLATE "C" PRIMARY KEY,
    payer          text        COLLATE "C" NOT NULL,
    plan           text        COLLATE "C" NOT NULL,
    format         text        NOT NULL,
    shift_years    int         NOT NULL,
    file_count     int         NOT NULL,
    rows_read      bigint      NOT NULL,
    rows_accepted  bigint      NOT NULL,
    rows_duplicate bigint      NOT NULL,
    rows_rejected  bigint      NOT NULL,
    exact          boolean     NOT NULL,
    complete       boolean     NOT NULL,           -- false: it broke off
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz NOT NULL,
    log_offset     bigint      NOT NULL,           -- of the event that tells this, in the operations topic
    content        text        COLLATE "C" NOT NULL DEFAULT '',  -- keyed digest of the bytes, if they came in one file
    quality        jsonb                           -- what its rows were like: counts (QualityCard)
);
CREATE INDEX file_run_by_payer ON file_run (payer, started_at);

-- Rejects that are done with; one that is not here is open. It may stand here before its row in `reject` does.
CREATE TABLE reject_resolution (
    reject_id  uuid        PRIMARY KEY,
    status     text        COLLATE "C" NOT NULL CHECK (status IN ('retried', 'dropped')),
    why        text        NOT NULL,
    by         text        NOT NULL,
    log_offset bigint      NOT NULL,
    known_at   timestamptz NOT NULL
);

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

-- What left for employers, from the operations topic and from nothing else: one row a plan and window, and its figures.
CREATE TABLE employer_release (
    payer      text        COLLATE "C" NOT NULL,
    plan       text        COLLATE "C" NOT NULL,
    ordinal    int         NOT NULL,               -- 1, 2, 3, ... of the plan
    window_on  date        NOT NULL,               -- the day whose close opened the window
    from_on    date        NOT NULL,               -- of the period that is new in it
    through_on date        NOT NULL,
    call_cents bigint,                             -- the pooled funding call; null: pending
    event_id   uuid        NOT NULL,
    log_offset bigint      NOT NULL,               -- in the operations topic
    known_at   timestamptz NOT NULL,
    PRIMARY KEY (plan, ordinal)
);
CREATE TABLE employer_outcome (
    payer      text   COLLATE "C" NOT NULL,
    plan       text   COLLATE "C" NOT NULL,
    ordinal    int    NOT NULL,
    number     int    NOT NULL,                    -- within the release, as sent
    event_id   uuid   NOT NULL,
    from_on    date   NOT NULL,
    through_on date   NOT NULL,
    metric     text   COLLATE "C" NOT NULL,
    stratum    text   COLLATE "C" NOT NULL,
    event      bytea  NOT NULL,                    -- the emitted EmployerOutcomeReported, byte for byte
    made_by    xid8  NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (plan, ordinal, number)
);

-- Answers of the gateway to requests that had an Idempotency-Key, for a day. Of no log: who asks again without one is
-- answered anew, and told of duplicates.
CREATE TABLE idempotency (
    key_digest     bytea       PRIMARY KEY,        -- of caller and key, under a key of the key store
    request_digest bytea       NOT NULL,           -- of what was asked, likewise
    answer         bytea       STORAGE EXTERNAL,   -- packed; null: at work, or broken off
    claimed_until  timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- Feeds are read in the order of the transactions that made their rows.
CREATE INDEX settlement_by_maker ON settlement (payer, made_by);
CREATE INDEX settlement_payment_by_maker ON settlement_payment (payer, made_by);
CREATE INDEX employer_outcome_by_maker ON employer_outcome (payer, made_by);

-- Where subscribers have their feed sent, from the operations topic but for how far each came. Secrets are sealed.
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
    created_by    text        NOT NULL,
    acted_offset  bigint      NOT NULL DEFAULT -1   -- of the last act about it that is done, in the operations topic
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

-- Money that moved for payments of ours, as remittances say: of members' payments, or of practices' by an adjustment.
CREATE TABLE remittance (
    payer        text        COLLATE "C" NOT NULL,
    plan         text        COLLATE "C" NOT NULL,
    partition    int         NOT NULL,
    log_offset   bigint      NOT NULL,
    ordinal      int         NOT NULL,             -- among the adjustments of one remittance
    event_id     uuid        NOT NULL,
    member       text        COLLATE "C" NOT NULL, -- '' of a practice's payment
    payment_id   text        COLLATE "C" NOT NULL, -- as named; it may name none of ours
    kind         text        NOT NULL,             -- remitted, returned, adjusted
    amount_cents bigint      NOT NULL,             -- to the practice; below 0 from it
    moved_on     date        NOT NULL,
    source       text        NOT NULL,             -- 835, bank, manual
    trace        text        NOT NULL,
    reason       text        NOT NULL,
    known_at     timestamptz NOT NULL,
    PRIMARY KEY (payer, partition, log_offset, ordinal)
);
CREATE INDEX remittance_of_payment ON remittance (payment_id, payer);

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
