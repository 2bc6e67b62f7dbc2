-- What the rows of a run of files were like; see schema.sql.

ALTER TABLE file_run ADD COLUMN quality jsonb;
