-- Whom full enrollment files list (streams/rosters.py): absence counts when it is repeated.
CREATE TABLE listing (
    payer     text COLLATE "C" NOT NULL,
    plan      text COLLATE "C" NOT NULL,
    roster    text COLLATE "C" NOT NULL,      -- keyed digest of sponsor, insurer and group
    token     text COLLATE "C" NOT NULL,      -- '' for the roster itself
    coverage  text COLLATE "C" NOT NULL,
    listed_on text COLLATE "C" NOT NULL,      -- of the last file that lists it; of the roster: the last file
    missed_on text COLLATE "C",               -- of the first file since that does not; of the roster: the file before
    ended_on  text COLLATE "C",               -- of the file by which its end was stated
    gap_from  text COLLATE "C",               -- where an end that was stated was none
    again_on  text COLLATE "C",               -- of the file that listed it again
    PRIMARY KEY (payer, plan, roster, token, coverage)
);
