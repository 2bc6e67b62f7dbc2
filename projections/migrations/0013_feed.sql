-- Which transaction made what is emitted: the order in which feeds are read; see schema.sql.

ALTER TABLE payment ADD COLUMN made_by xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE settlement ADD COLUMN made_by xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE settlement_payment ADD COLUMN made_by xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE employer_outcome ADD COLUMN made_by xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX payment_by_maker ON payment (payer, made_by);
