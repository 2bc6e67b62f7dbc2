-- What runs of a reconciliation determined, and the documents that practices get of them; see schema.sql.

ALTER TABLE settlement ADD COLUMN statement bytea, ADD COLUMN pack bytea;

-- Determinations of settlements and their exact reversals, a practice's for a period. `event` is what is emitted.
CREATE TABLE settlement_payment (
    payer        text   COLLATE "C" NOT NULL,
    contract     text   COLLATE "C" NOT NULL,
    payment_id   uuid   PRIMARY KEY,
    kind         text   NOT NULL,                  -- PBP, PBR, MEOS_RECOUPMENT
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
    event        bytea  NOT NULL
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
