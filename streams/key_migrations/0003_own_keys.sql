-- Keys of single things, and words of people who were erased (streams/own_keys.py).

CREATE TABLE own_key (
    payer   text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,        -- of what: reject
    name    text COLLATE "C" NOT NULL,
    wrapped bytea,                            -- null: destroyed
    PRIMARY KEY (payer, kind, name)
);
CREATE TABLE suppressed (
    payer text  COLLATE "C" NOT NULL,
    word  bytea NOT NULL,                     -- its length, and a keyed digest; never the word
    PRIMARY KEY (payer, word)
);
