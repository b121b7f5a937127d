-- When each artifact of a channel under quarantine was first seen. Nothing here alters the verdict on a token: no feed, no audit.

-- Directories of channels: `linux-64/`, `label/dev/noarch/`. The same subdirectory under other labels holds the same artifacts.
CREATE TABLE seen_directories (
    number       INTEGER NOT NULL PRIMARY KEY,
    channel      TEXT    NOT NULL,
    path         TEXT    NOT NULL,
    subdir       TEXT    NOT NULL,
    begun_at     INTEGER NOT NULL, -- the baseline's beginning
    completed_at INTEGER,
    counted_at   INTEGER NOT NULL, -- when a gate last began to mark what is listed
    UNIQUE (channel, path)
) STRICT;
CREATE INDEX seen_directories_by_subdir ON seen_directories (channel, subdir);

-- Their artifacts, by the digests that their indexes name.
CREATE TABLE seen (
    directory INTEGER NOT NULL REFERENCES seen_directories (number),
    digest    BLOB    NOT NULL CHECK (length(digest) = 32),
    at        INTEGER NOT NULL,
    baseline  INTEGER NOT NULL CHECK (baseline IN (0, 1)),
    listed_at INTEGER NOT NULL, -- when it was last known to be listed, to the month
    PRIMARY KEY (directory, digest)
) STRICT, WITHOUT ROWID;
