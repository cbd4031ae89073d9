UPDATE quarantine
SET resolved_at = stored.resolved_at
FROM (VALUES %s) AS stored (exchange, symbol, timeframe, day, "time", resolved_at)
WHERE quarantine.exchange = stored.exchange
    AND quarantine.symbol = stored.symbol
    AND quarantine.timeframe = stored.timeframe
    AND quarantine.day = stored.day
    AND quarantine."time" = stored."time"
    AND quarantine.resolved_at IS NULL
