-- The schema as of version 4: the tables, columns and rules of SQLite's migrations 0001 to 0004. Times are milliseconds since the Unix
-- epoch (UTC), truths are 0 or 1; ids are the 16 bytes of a UUID. Texts are ordered by their bytes, as in SQLite.

-- Facts about the store itself.
CREATE TABLE meta (
    name  text COLLATE "C" NOT NULL PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

CREATE TABLE organizations (
    id                   bytea            NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name                 text COLLATE "C" NOT NULL UNIQUE,
    title                text COLLATE "C" NOT NULL,
    subscription_ends_at bigint,
    created_at           bigint           NOT NULL,
    cancelled_at         bigint,
    subscription_number  bigint           NOT NULL DEFAULT 1
);

-- The users of an organization.
CREATE TABLE seats (
    organization_id bytea            NOT NULL REFERENCES organizations (id),
    user_name       text COLLATE "C" NOT NULL,
    role            text COLLATE "C" NOT NULL CHECK (role IN ('member', 'admin')),
    assigned_at     bigint           NOT NULL,
    PRIMARY KEY (organization_id, user_name)
);

CREATE TABLE groups (
    id              bytea            NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    organization_id bytea            NOT NULL REFERENCES organizations (id),
    name            text COLLATE "C" NOT NULL,
    created_at      bigint           NOT NULL,
    UNIQUE (organization_id, name),
    UNIQUE (id, organization_id)
);

-- A member has a seat in the group's own organization.
CREATE TABLE group_members (
    group_id        bytea            NOT NULL,
    organization_id bytea            NOT NULL,
    user_name       text COLLATE "C" NOT NULL,
    PRIMARY KEY (group_id, user_name),
    FOREIGN KEY (group_id, organization_id) REFERENCES groups (id, organization_id),
    FOREIGN KEY (organization_id, user_name) REFERENCES seats (organization_id, user_name)
);
CREATE INDEX group_members_by_user ON group_members (organization_id, user_name);

-- A channel granted to a group of an organization is restricted to the organization's granted groups, also after the last grant is gone.
CREATE TABLE restrictions (
    organization_id bytea            NOT NULL REFERENCES organizations (id),
    channel         text COLLATE "C" NOT NULL,
    PRIMARY KEY (organization_id, channel)
);

CREATE TABLE grants (
    group_id        bytea            NOT NULL,
    organization_id bytea            NOT NULL,
    channel         text COLLATE "C" NOT NULL,
    permission      text COLLATE "C" NOT NULL CHECK (permission IN ('read', 'write', 'admin')),
    PRIMARY KEY (group_id, channel),
    FOREIGN KEY (group_id, organization_id) REFERENCES groups (id, organization_id),
    FOREIGN KEY (organization_id, channel) REFERENCES restrictions (organization_id, channel)
);
CREATE INDEX grants_by_channel ON grants (organization_id, channel);

-- A token's value is nowhere; its SHA-256 is how it is found. Rows are never deleted: a dead token is refused by its name, not as unknown.
CREATE TABLE tokens (
    id                  bytea            NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    digest              bytea            NOT NULL UNIQUE CHECK (length(digest) = 32),
    kind                text COLLATE "C" NOT NULL CHECK (kind IN ('site', 'individual', 'scoped')),
    organization_id     bytea            NOT NULL REFERENCES organizations (id),
    name                text COLLATE "C",
    user_name           text COLLATE "C",
    scopes              text COLLATE "C" NOT NULL, -- separated by spaces
    channels            text COLLATE "C",          -- a JSON array of names; NULL: all that the organization may read
    created_at          bigint           NOT NULL,
    expires_at          bigint,
    ended_at            bigint,
    end_cause           text COLLATE "C" CHECK (end_cause IN ('revoked', 'replaced', 'subscription_ended', 'seat_removed')),
    end_reason          text COLLATE "C",
    -- The group that a scoped token acts as; the user that one acts as is in user_name.
    acts_as_group_id    bytea REFERENCES groups (id) CHECK (acts_as_group_id IS NULL OR (kind = 'scoped' AND user_name IS NULL)),
    -- How many times it was issued, this time included: for the organization, for the user, or under the name.
    generation          bigint           NOT NULL DEFAULT 1,
    -- An operator's token acts in every organization; the command line alone makes one.
    operator            bigint           NOT NULL DEFAULT 0
        CHECK (operator = 0 OR (operator = 1 AND kind = 'scoped' AND user_name IS NULL AND acts_as_group_id IS NULL)),
    -- The subscription that it was issued under, and ends with.
    subscription_number bigint           NOT NULL DEFAULT 1,
    -- When a token ends by its own row, whichever end comes first; the largest number for never.
    ends_at             bigint           NOT NULL
        GENERATED ALWAYS AS (least(coalesce(ended_at, 9223372036854775807), coalesce(expires_at, 9223372036854775807))) STORED,
    CHECK ((kind = 'scoped') = (name IS NOT NULL)),
    CHECK (kind <> 'individual' OR user_name IS NOT NULL),
    CHECK (kind <> 'site' OR user_name IS NULL),
    CHECK ((ended_at IS NULL) = (end_cause IS NULL)),
    CHECK (end_reason IS NULL OR end_cause IS NOT NULL)
);

-- Of those that nobody has ended, a site token is the only one of its subscription, an individual token the only one of its user.
CREATE UNIQUE INDEX tokens_one_site ON tokens (organization_id, subscription_number) WHERE kind = 'site' AND ended_at IS NULL;
CREATE UNIQUE INDEX tokens_one_individual ON tokens (organization_id, subscription_number, user_name)
    WHERE kind = 'individual' AND ended_at IS NULL;
-- Lists of an organization's tokens, page by page.
CREATE INDEX tokens_by_age ON tokens (organization_id, created_at, id);
-- The latest of a name. Only it can be alive: a name is given again when its bearer is dead.
CREATE INDEX tokens_by_name ON tokens (organization_id, name, generation) WHERE name IS NOT NULL;
-- The living ones of a user, and how often the individual one was issued.
CREATE INDEX tokens_by_user ON tokens (organization_id, user_name, subscription_number, ends_at) WHERE user_name IS NOT NULL;
CREATE INDEX tokens_of_user ON tokens (organization_id, user_name, generation) WHERE kind = 'individual';
CREATE INDEX tokens_of_site ON tokens (organization_id, generation) WHERE kind = 'site';
-- Those that end soon.
CREATE INDEX tokens_by_end ON tokens (organization_id, subscription_number, ends_at, id);

-- A renewal after a cancellation begins another subscription of the organization. Tokens belong to the one that they were issued under,
-- and end with it: none of their rows is touched then.
CREATE TABLE cancellations (
    organization_id     bytea  NOT NULL REFERENCES organizations (id),
    subscription_number bigint NOT NULL,
    cancelled_at        bigint NOT NULL,
    PRIMARY KEY (organization_id, subscription_number)
);

-- One row. A writer takes its numbers here, under the lock of changes: the order of numbers is the order of commits.
CREATE TABLE feed (
    "only"   bigint NOT NULL PRIMARY KEY CHECK ("only" = 1),
    position bigint NOT NULL, -- the number of the latest change
    pruned   bigint NOT NULL  -- changes up to this number are gone
);
INSERT INTO feed ("only", position, pruned) VALUES (1, 0, 0);

-- Whatever can alter the verdict on tokens, written in the transaction that alters it: on one token, or on every token of an organization.
CREATE TABLE changes (
    seq             bigint NOT NULL PRIMARY KEY,
    at              bigint NOT NULL,
    digest          bytea CHECK (length(digest) = 32),
    organization_id bytea CHECK (length(organization_id) = 16),
    CHECK ((digest IS NULL) <> (organization_id IS NULL))
);

-- Who did what. Each record's hash covers the one before it; see `store/audit.rs`.
CREATE TABLE audit (
    seq          bigint           NOT NULL PRIMARY KEY,
    at           bigint           NOT NULL,
    actor        text COLLATE "C" NOT NULL,
    origin       text COLLATE "C",              -- an IP address
    action       text COLLATE "C" NOT NULL,
    organization text COLLATE "C",
    target       text COLLATE "C",
    user_name    text COLLATE "C",
    before       text COLLATE "C",              -- JSON
    after        text COLLATE "C",              -- JSON
    previous     bytea            NOT NULL CHECK (length(previous) = 32),
    hash         bytea            NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_by_organization ON audit (organization, seq) WHERE organization IS NOT NULL;
-- The audit since some moment.
CREATE INDEX audit_by_time ON audit (at, seq);
CREATE INDEX audit_by_organization_and_time ON audit (organization, at, seq) WHERE organization IS NOT NULL;
CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only ever appended to';
END
$$;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses();
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses();

-- When each token was last shown, by whom and how; written in batches.
CREATE TABLE token_uses (
    token_id     bytea  NOT NULL PRIMARY KEY REFERENCES tokens (id),
    used_at      bigint,
    carrier      text COLLATE "C",
    address      text COLLATE "C",
    refused_at   bigint,
    refused_code text COLLATE "C",
    refusals     bigint NOT NULL DEFAULT 0,
    CHECK ((used_at IS NULL) = (carrier IS NULL) AND (used_at IS NULL) = (address IS NULL)),
    CHECK ((refused_at IS NULL) = (refused_code IS NULL))
);

-- Requests that must not be carried out twice: the key under which one came and what it was, both as SHA-256, and the id of what it made.
CREATE TABLE request_keys (
    digest          bytea  NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    organization_id bytea  NOT NULL CHECK (length(organization_id) = 16), -- of whoever asked
    request         bytea  NOT NULL CHECK (length(request) = 32),
    made            bytea  NOT NULL CHECK (length(made) = 16),
    made_at         bigint NOT NULL
);
CREATE INDEX request_keys_by_age ON request_keys (organization_id, made_at);
