-- What the admin API needs: tokens of operators, and which requests have been carried out.

-- An operator's token acts in every organization; the command line alone makes one.
ALTER TABLE tokens ADD COLUMN operator INTEGER NOT NULL DEFAULT 0
    CHECK (operator = 0 OR (operator = 1 AND kind = 'scoped' AND user_name IS NULL AND acts_as_group_id IS NULL));

-- Requests that must not be carried out twice: the key under which one came and what it was, both as SHA-256, and the id of what it made.
CREATE TABLE request_keys (
    digest          BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    organization_id BLOB    NOT NULL CHECK (length(organization_id) = 16), -- of whoever asked
    request         BLOB    NOT NULL CHECK (length(request) = 32),
    made            BLOB    NOT NULL CHECK (length(made) = 16),
    made_at         INTEGER NOT NULL
) STRICT;
CREATE INDEX request_keys_by_age ON request_keys (organization_id, made_at);
