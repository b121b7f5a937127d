-- The gates over this store, a row for each run of the program, which it writes again every few seconds. The dead go after a day.
CREATE TABLE gates (
    id            bytea            NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name          text COLLATE "C" NOT NULL,
    version       text COLLATE "C" NOT NULL,
    started_at    bigint           NOT NULL,
    state         text COLLATE "C" NOT NULL CHECK (state IN ('ready', 'unproven', 'draining', 'stopped')),
    feed_position bigint           NOT NULL, -- how much of the feed the gate had applied
    behind        bigint           NOT NULL, -- how many changes it had not
    proof_age     bigint,                    -- milliseconds since the feed last proved that nothing was missed; NULL before the first time
    beat_at       bigint           NOT NULL
);
