-- Settlements of employers are by plan and practice; see schema.sql.

ALTER TABLE settlement ADD COLUMN plan text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE settlement DROP CONSTRAINT settlement_pkey, ADD PRIMARY KEY (payer, request_id, plan, practice);

ALTER TABLE settlement_payment ADD COLUMN plan text COLLATE "C" NOT NULL DEFAULT '';
