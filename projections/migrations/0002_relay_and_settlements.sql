-- Ids that output topics already have though the fold has not made their rows yet (the database was dropped): when such
-- a row comes, the relay strikes it. Empty in normal running.
CREATE TABLE output_found (
    payer    text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (payer, event_id)
);

CREATE INDEX outbox_of_payer ON outbox (payer, outbox_id);

-- Answers to settlement requests, one for each practice (practice '': episodes that no practice is attributed).
CREATE TABLE settlement (
    payer         text   COLLATE "C" NOT NULL,
    request_id    text   COLLATE "C" NOT NULL,
    practice      text   COLLATE "C" NOT NULL,
    settlement_id uuid   NOT NULL,
    log_offset    bigint NOT NULL,                 -- of the request, in the requests topic
    event         bytea  NOT NULL,                 -- the emitted SettlementAnswered, byte for byte
    PRIMARY KEY (payer, request_id, practice)
);
