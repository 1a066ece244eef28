-- Versions of the alert rules, as they were sent. The last is in force; none is ever changed.
CREATE TABLE analytics.alert_rules (
    version bigint PRIMARY KEY CHECK (version > 0),
    file text NOT NULL,
    sha256 text NOT NULL,
    author text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
