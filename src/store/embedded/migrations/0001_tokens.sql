-- Organizations, their tokens, and the feed of changes. Times are milliseconds since the Unix epoch (UTC); ids are the 16 bytes of a
-- UUID. Everything here has a counterpart in PostgreSQL (BLOB: bytea or uuid, INTEGER: bigint).

PRAGMA application_id = 0x63676174; -- "cgat": whose database this is

-- Facts about the store itself.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE organizations (
    id                   BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name                 TEXT    NOT NULL UNIQUE,
    title                TEXT    NOT NULL,
    subscription_ends_at INTEGER,
    created_at           INTEGER NOT NULL
) STRICT;

-- A token's value is nowhere; its SHA-256 is how it is found. Rows are never deleted: a dead token is refused by its name, not as unknown.
CREATE TABLE tokens (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest          BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    kind            TEXT    NOT NULL CHECK (kind IN ('site', 'individual', 'scoped')),
    organization_id BLOB    NOT NULL REFERENCES organizations (id),
    name            TEXT,
    user_name       TEXT,
    scopes          TEXT    NOT NULL, -- separated by spaces
    channels        TEXT,             -- a JSON array of names; NULL: all that the organization may read
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    ended_at        INTEGER,
    end_cause       TEXT CHECK (end_cause IN ('revoked', 'replaced', 'subscription_ended', 'seat_removed')),
    end_reason      TEXT,
    CHECK ((kind = 'scoped') = (name IS NOT NULL)),
    CHECK (kind <> 'individual' OR user_name IS NOT NULL),
    CHECK (kind <> 'site' OR user_name IS NULL),
    CHECK ((ended_at IS NULL) = (end_cause IS NULL)),
    CHECK (end_reason IS NULL OR end_cause IS NOT NULL)
) STRICT;

-- Lists of an organization's tokens, page by page.
CREATE INDEX tokens_by_age ON tokens (organization_id, created_at, id);
-- A name is unique among living tokens only, which an index cannot say; whoever inserts looks first, under the write lock.
CREATE INDEX tokens_by_name ON tokens (organization_id, name) WHERE name IS NOT NULL;
-- Of those that nobody has ended, a site token is the only one of its organization.
CREATE UNIQUE INDEX tokens_one_site ON tokens (organization_id) WHERE kind = 'site' AND ended_at IS NULL;

-- One row. A writer takes its numbers here, so that the order of numbers is the order of commits on every backend.
CREATE TABLE feed (
    only     INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    position INTEGER NOT NULL, -- the number of the latest change
    pruned   INTEGER NOT NULL  -- changes up to this number are gone
) STRICT;
INSERT INTO feed (only, position, pruned) VALUES (1, 0, 0);

-- Whatever can alter the verdict on a token, written in the transaction that alters it.
CREATE TABLE changes (
    seq    INTEGER NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    digest BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;
