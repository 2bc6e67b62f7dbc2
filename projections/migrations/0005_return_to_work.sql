-- Returns to work by rtw-def/1; columns are explained in schema.sql.

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
