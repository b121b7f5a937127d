-- A grant may be for some packages and some labels of its channel only. Each column is a JSON array of texts in order; NULL is all.

ALTER TABLE grants ADD COLUMN packages text COLLATE "C" CHECK (packages IS NULL OR json_typeof(packages::json) = 'array');
ALTER TABLE grants ADD COLUMN labels   text COLLATE "C" CHECK (labels IS NULL OR json_typeof(labels::json) = 'array');
