-- Adds :requests to the number of requests of an exchange in the given hour. Deletes the exchange's numbers of hours
-- that are more than two days old.
WITH forgotten AS (
    DELETE FROM exchange_requests WHERE exchange = %(exchange)s AND hour < %(hour)s::timestamptz - interval '2 days'
)
INSERT INTO exchange_requests (exchange, hour, requests)
VALUES (%(exchange)s, %(hour)s, %(requests)s)
ON CONFLICT (exchange, hour) DO UPDATE SET requests = exchange_requests.requests + excluded.requests
