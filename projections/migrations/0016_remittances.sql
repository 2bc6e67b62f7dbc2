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
