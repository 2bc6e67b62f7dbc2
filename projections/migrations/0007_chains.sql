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
