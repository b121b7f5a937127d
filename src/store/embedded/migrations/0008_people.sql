-- People who sign in: users with their passwords and identities, their browsers, the devices they let in, and the keys that sign API keys.
-- Of every secret only a digest is here; of a password, only what argon2id makes of it.

-- A user is who has a seat of that name, in whatever organization.
CREATE TABLE users (
    name          TEXT    NOT NULL PRIMARY KEY,
    password_hash TEXT,    -- in the PHC string format; NULL: no password
    email         TEXT,
    created_at    INTEGER NOT NULL,
    disabled_at   INTEGER
) STRICT;
-- The organizations of a user.
CREATE INDEX seats_by_user ON seats (user_name, assigned_at);

-- Who a user is at an OpenID provider.
CREATE TABLE identities (
    issuer    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    user_name TEXT    NOT NULL REFERENCES users (name),
    bound_at  INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (issuer, user_name)
) STRICT;
CREATE INDEX identities_by_user ON identities (user_name);

-- Signed-in browsers, by the SHA-256 of their cookie's value.
CREATE TABLE sessions (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_name  TEXT    NOT NULL REFERENCES users (name),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    address    TEXT    NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_name, created_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Device authorizations (RFC 8628): what a device asks for, and what a person said to it.
CREATE TABLE device_authorizations (
    device_digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(device_digest) = 32),
    user_code_digest  BLOB    NOT NULL UNIQUE CHECK (length(user_code_digest) = 32),
    client_name       TEXT    NOT NULL,
    address           TEXT    NOT NULL, -- from which it asked
    agent             TEXT,
    scopes            TEXT    NOT NULL, -- as asked for
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    interval_s        INTEGER NOT NULL, -- seconds between two polls
    polled_at         INTEGER,
    attempts          INTEGER NOT NULL DEFAULT 0, -- how often its code was looked at
    state             TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'used')),
    user_name         TEXT REFERENCES users (name),
    organization_id   BLOB REFERENCES organizations (id),
    access_digest     BLOB UNIQUE CHECK (length(access_digest) = 32), -- of the access token that it was given
    access_expires_at INTEGER,
    CHECK (state <> 'approved' OR (user_name IS NOT NULL AND organization_id IS NOT NULL)),
    CHECK ((access_digest IS NULL) = (access_expires_at IS NULL))
) STRICT;
CREATE INDEX device_authorizations_by_end ON device_authorizations (expires_at);
CREATE INDEX device_authorizations_by_user ON device_authorizations (user_name) WHERE user_name IS NOT NULL;

-- What API keys are signed with, encrypted under the secret of the gates.
CREATE TABLE signing_keys (
    kid            TEXT    NOT NULL PRIMARY KEY,
    sealed         BLOB    NOT NULL,
    created_at     INTEGER NOT NULL,
    signs_until    INTEGER NOT NULL,
    verifies_until INTEGER NOT NULL
) STRICT;

-- An API key is a token that acts as a user, whose value says so.
ALTER TABLE tokens ADD COLUMN api_key INTEGER NOT NULL DEFAULT 0
    CHECK (api_key = 0 OR (api_key = 1 AND kind = 'scoped' AND user_name IS NOT NULL));
-- Of those that were revoked, the ones that ended because their user was disabled. (Not a further cause: a gate of an older version must
-- know what it reads.)
ALTER TABLE tokens ADD COLUMN ended_with_user INTEGER NOT NULL DEFAULT 0
    CHECK (ended_with_user = 0 OR (ended_with_user = 1 AND end_cause IS NOT NULL AND end_cause = 'revoked'));
-- What ends when a user is disabled.
CREATE INDEX tokens_api_keys ON tokens (user_name, ends_at) WHERE api_key = 1;
