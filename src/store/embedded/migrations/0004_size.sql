-- What keeps a store of millions of tokens quick: a cancelled subscription ends its tokens by one row, and every question has an index.

-- A renewal after a cancellation begins another subscription of the organization. Tokens belong to the one that they were issued under,
-- and end with it: none of their rows is touched then. (Those of before this schema have their end in their own rows.)
ALTER TABLE organizations ADD COLUMN subscription_number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tokens ADD COLUMN subscription_number INTEGER NOT NULL DEFAULT 1;
CREATE TABLE cancellations (
    organization_id     BLOB    NOT NULL REFERENCES organizations (id),
    subscription_number INTEGER NOT NULL,
    cancelled_at        INTEGER NOT NULL,
    PRIMARY KEY (organization_id, subscription_number)
) STRICT;
INSERT INTO cancellations (organization_id, subscription_number, cancelled_at)
SELECT id, 1, cancelled_at FROM organizations WHERE cancelled_at IS NOT NULL;

-- When a token ends by its own row, whichever end comes first; the largest number for never.
ALTER TABLE tokens ADD COLUMN ends_at INTEGER NOT NULL
    GENERATED ALWAYS AS (min(ifnull(ended_at, 9223372036854775807), ifnull(expires_at, 9223372036854775807))) VIRTUAL;

-- Of those that nobody has ended, a site token is the only one of its subscription, an individual token the only one of its user.
DROP INDEX tokens_one_site;
CREATE UNIQUE INDEX tokens_one_site ON tokens (organization_id, subscription_number) WHERE kind = 'site' AND ended_at IS NULL;
DROP INDEX tokens_one_individual;
CREATE UNIQUE INDEX tokens_one_individual ON tokens (organization_id, subscription_number, user_name)
    WHERE kind = 'individual' AND ended_at IS NULL;
-- The latest of a name. Only it can be alive: a name is given again when its bearer is dead.
DROP INDEX tokens_by_name;
CREATE INDEX tokens_by_name ON tokens (organization_id, name, generation) WHERE name IS NOT NULL;
-- The living ones of a user, and how often the individual one was issued.
DROP INDEX tokens_by_user;
CREATE INDEX tokens_by_user ON tokens (organization_id, user_name, subscription_number, ends_at) WHERE user_name IS NOT NULL;
CREATE INDEX tokens_of_user ON tokens (organization_id, user_name, generation) WHERE kind = 'individual';
-- Those that end soon.
CREATE INDEX tokens_by_end ON tokens (organization_id, subscription_number, ends_at, id);

-- The audit since some moment.
CREATE INDEX audit_by_time ON audit (at, seq);
CREATE INDEX audit_by_organization_and_time ON audit (organization, at, seq) WHERE organization IS NOT NULL;
