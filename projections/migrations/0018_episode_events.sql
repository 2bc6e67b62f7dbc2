-- Versions of episodes are told to payers: when each was known, and in which order feeds read them.

ALTER TABLE episode ADD COLUMN known_at timestamptz;
UPDATE episode e SET known_at = f.known_at
  FROM fact f
 WHERE f.payer = e.payer AND f.partition = e.partition AND f.log_offset = e.from_offset AND f.member IN (e.member, '');
UPDATE episode SET known_at = to_timestamp(0) WHERE known_at IS NULL;
ALTER TABLE episode ALTER COLUMN known_at SET NOT NULL;
ALTER TABLE episode ADD COLUMN made_by xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX episode_by_maker ON episode (payer, made_by);
