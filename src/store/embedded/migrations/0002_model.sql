-- Seats, groups and what they are granted, cancelled subscriptions, the audit, the last use of tokens. Everything of 0001 is kept.

ALTER TABLE organizations ADD COLUMN cancelled_at INTEGER;

-- The users of an organization.
CREATE TABLE seats (
    organization_id BLOB    NOT NULL REFERENCES organizations (id),
    user_name       TEXT    NOT NULL,
    role            TEXT    NOT NULL CHECK (role IN ('member', 'admin')),
    assigned_at     INTEGER NOT NULL,
    PRIMARY KEY (organization_id, user_name)
) STRICT;

CREATE TABLE groups (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    organization_id BLOB    NOT NULL REFERENCES organizations (id),
    name            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (organization_id, name),
    UNIQUE (id, organization_id)
) STRICT;

-- A member has a seat in the group's own organization.
CREATE TABLE group_members (
    group_id        BLOB NOT NULL,
    organization_id BLOB NOT NULL,
    user_name       TEXT NOT NULL,
    PRIMARY KEY (group_id, user_name),
    FOREIGN KEY (group_id, organization_id) REFERENCES groups (id, organization_id),
    FOREIGN KEY (organization_id, user_name) REFERENCES seats (organization_id, user_name)
) STRICT;
CREATE INDEX group_members_by_user ON group_members (organization_id, user_name);

-- A channel granted to a group of an organization is restricted to the organization's granted groups, also after the last grant is gone.
CREATE TABLE restrictions (
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    channel         TEXT NOT NULL,
    PRIMARY KEY (organization_id, channel)
) STRICT;

CREATE TABLE grants (
    group_id        BLOB NOT NULL,
    organization_id BLOB NOT NULL,
    channel         TEXT NOT NULL,
    permission      TEXT NOT NULL CHECK (permission IN ('read', 'write', 'admin')),
    PRIMARY KEY (group_id, channel),
    FOREIGN KEY (group_id, organization_id) REFERENCES groups (id, organization_id),
    FOREIGN KEY (organization_id, channel) REFERENCES restrictions (organization_id, channel)
) STRICT;
CREATE INDEX grants_by_channel ON grants (organization_id, channel);

-- The group that a scoped token acts as; the user that one acts as is in user_name.
ALTER TABLE tokens ADD COLUMN acts_as_group_id BLOB REFERENCES groups (id)
    CHECK (acts_as_group_id IS NULL OR (kind = 'scoped' AND user_name IS NULL));
-- How many times it was issued, this time included: for the organization, for the user, or under the name.
ALTER TABLE tokens ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
UPDATE tokens SET generation = ranked.generation FROM (
    SELECT id, row_number() OVER (
        PARTITION BY organization_id, kind, CASE kind WHEN 'individual' THEN user_name ELSE name END ORDER BY created_at, id
    ) AS generation FROM tokens
) AS ranked WHERE ranked.id = tokens.id;

-- Of those that nobody has ended, an individual token is the only one of its user.
CREATE UNIQUE INDEX tokens_one_individual ON tokens (organization_id, user_name) WHERE kind = 'individual' AND ended_at IS NULL;
-- What ends with a user's seat, and how often a site or individual token was issued.
CREATE INDEX tokens_by_user ON tokens (organization_id, user_name, generation) WHERE user_name IS NOT NULL;
CREATE INDEX tokens_of_site ON tokens (organization_id, generation) WHERE kind = 'site';

-- A change concerns one token, or every token of an organization.
CREATE TABLE changes_0002 (
    seq             INTEGER NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    digest          BLOB CHECK (length(digest) = 32),
    organization_id BLOB CHECK (length(organization_id) = 16),
    CHECK ((digest IS NULL) <> (organization_id IS NULL))
) STRICT;
INSERT INTO changes_0002 (seq, at, digest) SELECT seq, at, digest FROM changes;
DROP TABLE changes;
ALTER TABLE changes_0002 RENAME TO changes;

-- Who did what. Each record's hash covers the one before it; see `store/audit.rs`.
CREATE TABLE audit (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    origin       TEXT,             -- an IP address
    action       TEXT    NOT NULL,
    organization TEXT,
    target       TEXT,
    user_name    TEXT,
    before       TEXT,             -- JSON
    after        TEXT,             -- JSON
    previous     BLOB    NOT NULL CHECK (length(previous) = 32),
    hash         BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_by_organization ON audit (organization, seq) WHERE organization IS NOT NULL;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is only ever appended to');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is only ever appended to');
END;

-- When each token was last shown, by whom and how; written in batches.
CREATE TABLE token_uses (
    token_id     BLOB    NOT NULL PRIMARY KEY REFERENCES tokens (id),
    used_at      INTEGER,
    carrier      TEXT,
    address      TEXT,
    refused_at   INTEGER,
    refused_code TEXT,
    refusals     INTEGER NOT NULL DEFAULT 0,
    CHECK ((used_at IS NULL) = (carrier IS NULL) AND (used_at IS NULL) = (address IS NULL)),
    CHECK ((refused_at IS NULL) = (refused_code IS NULL))
) STRICT;
