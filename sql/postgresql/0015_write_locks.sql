-- depends: 0001_tables
-- One row for each exchange, which a writer locks (FOR UPDATE) for its transaction. Only a role that may change the table
-- can lock its rows. An advisory lock can be taken by any role that may connect, and such a reader could stop all writing.

CREATE TABLE write_locks (
    exchange text PRIMARY KEY
);

COMMENT ON TABLE write_locks IS 'Writers of one exchange take turns by locking its row. The rows mean nothing else.';
COMMENT ON COLUMN write_locks.exchange IS 'ccxt''s id of the exchange.';
