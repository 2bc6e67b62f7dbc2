-- The key store on a database of its own. The same tables as in its SQLite file (streams/keys.py).

CREATE TABLE meta (
    name  text  COLLATE "C" PRIMARY KEY,      -- wrapping: the id of the key that new keys are wrapped with
    value bytea NOT NULL
);
CREATE TABLE generation (
    number bigint NOT NULL                    -- moves with every destroyed key and every link
);
INSERT INTO generation VALUES (1);
CREATE TABLE payer_key (
    payer   text  COLLATE "C" NOT NULL,
    purpose text  COLLATE "C" NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (payer, purpose)
);
CREATE TABLE alias (                          -- which member an identifier means; the first token stays
    payer      text  COLLATE "C" NOT NULL,
    identifier bytea NOT NULL,                -- keyed digest, never the identifier
    token      text  COLLATE "C" NOT NULL,
    PRIMARY KEY (payer, identifier)
);
CREATE INDEX alias_token ON alias (payer, token);
CREATE TABLE subject_key (
    payer   text  COLLATE "C" NOT NULL,
    token   text  COLLATE "C" NOT NULL,
    wrapped bytea,                            -- null: destroyed
    PRIMARY KEY (payer, token)
);
CREATE TABLE link (                           -- tokens that turned out to be one person
    payer    text COLLATE "C" NOT NULL,
    retired  text COLLATE "C" NOT NULL,
    survivor text COLLATE "C" NOT NULL,
    PRIMARY KEY (payer, retired)
);
