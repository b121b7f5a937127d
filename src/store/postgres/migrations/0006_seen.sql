-- When each artifact of a channel under quarantine was first seen. Nothing here alters the verdict on a token: no feed, no audit.

-- Directories of channels: `linux-64/`, `label/dev/noarch/`. The same subdirectory under other labels holds the same artifacts.
CREATE TABLE seen_directories (
    number       bigint           NOT NULL PRIMARY KEY,
    channel      text COLLATE "C" NOT NULL,
    path         text COLLATE "C" NOT NULL,
    subdir       text COLLATE "C" NOT NULL,
    begun_at     bigint           NOT NULL, -- the baseline's beginning
    completed_at bigint,
    counted_at   bigint           NOT NULL, -- when a gate last began to mark what is listed
    UNIQUE (channel, path)
);
CREATE INDEX seen_directories_by_subdir ON seen_directories (channel, subdir);

-- Their artifacts, by the digests that their indexes name.
CREATE TABLE seen (
    directory bigint NOT NULL REFERENCES seen_directories (number),
    digest    bytea  NOT NULL CHECK (length(digest) = 32),
    at        bigint NOT NULL,
    baseline  bigint NOT NULL CHECK (baseline IN (0, 1)),
    listed_at bigint NOT NULL, -- when it was last known to be listed, to the month
    PRIMARY KEY (directory, digest)
);
