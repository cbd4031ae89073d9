-- depends: 0001_tables
-- What humans were told, and what they are still to be told.

CREATE TABLE alerts (
    kind text NOT NULL,
    subject text NOT NULL,
    since timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    message text NOT NULL,
    told text[] NOT NULL DEFAULT '{}',
    over_at timestamptz,
    told_over text[] NOT NULL DEFAULT '{}',
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, subject, since),
    CONSTRAINT alerts_were_seen CHECK (since <= last_seen)
);

CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE NOT done;

COMMENT ON TABLE alerts IS 'What is wrong although self-repair did what it could, or was; who was told of it.';
COMMENT ON COLUMN alerts.kind IS 'breaker, gaps, live, settlement.';
COMMENT ON COLUMN alerts.subject IS 'What it is about: an exchange.';
COMMENT ON COLUMN alerts.since IS 'When it was first seen.';
COMMENT ON COLUMN alerts.last_seen IS 'When it was last seen.';
COMMENT ON COLUMN alerts.message IS 'A sentence for a human.';
COMMENT ON COLUMN alerts.told IS 'Digests of the addresses that were told; empty: it has to last before anybody is.';
COMMENT ON COLUMN alerts.over_at IS 'When it was found to be over; NULL: it is not.';
COMMENT ON COLUMN alerts.told_over IS 'Digests of the addresses that were told that it is over.';
COMMENT ON COLUMN alerts.done IS 'Whether it is over, and everybody knows.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON alerts TO titan10_reader;
    END IF;
END
$$;
