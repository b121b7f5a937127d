-- A grant may be for some packages and some labels of its channel only. Each column is a JSON array of texts in order; NULL is all.

ALTER TABLE grants ADD COLUMN packages TEXT CHECK (packages IS NULL OR json_valid(packages));
ALTER TABLE grants ADD COLUMN labels TEXT CHECK (labels IS NULL OR json_valid(labels));
