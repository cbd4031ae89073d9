-- depends: 0001_tables
-- What probes of the exchanges measured; the last one says what the next one expects where a record says nothing.

CREATE TABLE exchange_probes (
    exchange text NOT NULL,
    probed_at timestamptz NOT NULL,
    requests integer NOT NULL,
    measured jsonb NOT NULL,
    expected jsonb NOT NULL,
    PRIMARY KEY (exchange, probed_at),
    CONSTRAINT exchange_probes_requests CHECK (requests >= 0)
);

COMMENT ON TABLE exchange_probes IS 'Each measurement of how an exchange behaves: page size, order, depth and so on.';
COMMENT ON COLUMN exchange_probes.exchange IS 'The exchange''s id in ccxt.';
COMMENT ON COLUMN exchange_probes.probed_at IS 'When the probe began.';
COMMENT ON COLUMN exchange_probes.requests IS 'How many requests it made.';
COMMENT ON COLUMN exchange_probes.measured IS 'The measured value of each property; a property that could not be measured is left out.';
COMMENT ON COLUMN exchange_probes.expected IS 'What was expected of each property then, by the exchange''s record or the probe before.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON exchange_probes TO titan10_reader;
    END IF;
END
$$;
