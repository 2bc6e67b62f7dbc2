-- What operators did, and what became of rejects; what each table is for stands in schema.sql.

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
    log_offset     bigint      NOT NULL            -- of the event that tells this, in the operations topic
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
