-- Endpoints follow from acts in the operations topic: the last one that a row knows.

ALTER TABLE webhook_endpoint ADD COLUMN acted_offset bigint NOT NULL DEFAULT -1;
