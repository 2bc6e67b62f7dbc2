-- A payment's bytes are kept once: the outbox names the payment whose event is to be sent.
ALTER TABLE outbox ALTER COLUMN value DROP NOT NULL;
