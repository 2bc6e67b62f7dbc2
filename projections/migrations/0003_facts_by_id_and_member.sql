-- Indexes of `fact` lead with what tells rows apart. All rows of a sub-partition share their partition and most share
-- their payer: with those first, a planner without statistics took either index for either question.
ALTER TABLE fact DROP CONSTRAINT fact_partition_payer_event_id_key;
ALTER TABLE fact ADD CONSTRAINT fact_event_id UNIQUE (event_id, payer, partition);
DROP INDEX fact_of_member;
CREATE INDEX fact_of_member ON fact (member, payer, log_offset);
