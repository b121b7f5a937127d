-- The gates over this store, a row for each run of the program, which it writes again every few seconds. The dead go after a day.
CREATE TABLE gates (
    id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    started_at    INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('ready', 'unproven', 'draining', 'stopped')),
    feed_position INTEGER NOT NULL, -- how much of the feed the gate had applied
    behind        INTEGER NOT NULL, -- how many changes it had not
    proof_age     INTEGER,          -- milliseconds since the feed last proved that nothing was missed; NULL before the first time
    beat_at       INTEGER NOT NULL
) STRICT;
