-- What left for employers; see schema.sql.

CREATE TABLE employer_release (
    payer      text        COLLATE "C" NOT NULL,
    plan       text        COLLATE "C" NOT NULL,
    ordinal    int         NOT NULL,
    window_on  date        NOT NULL,
    from_on    date        NOT NULL,
    through_on date        NOT NULL,
    call_cents bigint,
    event_id   uuid        NOT NULL,
    log_offset bigint      NOT NULL,
    known_at   timestamptz NOT NULL,
    PRIMARY KEY (plan, ordinal)
);
CREATE TABLE employer_outcome (
    payer      text   COLLATE "C" NOT NULL,
    plan       text   COLLATE "C" NOT NULL,
    ordinal    int    NOT NULL,
    number     int    NOT NULL,
    event_id   uuid   NOT NULL,
    from_on    date   NOT NULL,
    through_on date   NOT NULL,
    metric     text   COLLATE "C" NOT NULL,
    stratum    text   COLLATE "C" NOT NULL,
    event      bytea  NOT NULL,
    PRIMARY KEY (plan, ordinal, number)
);
