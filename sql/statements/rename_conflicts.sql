-- `stored`: whether there are series to rename. `both`: the new symbols of series that cannot be renamed, because
-- candles are already stored under the new name.
SELECT
    EXISTS (
        SELECT FROM series
        WHERE exchange = %(exchange)s AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
    ) AS stored,
    ARRAY(
        SELECT DISTINCT target.symbol
        FROM series AS source
        JOIN series AS target
            ON target.exchange = %(new_exchange)s
            AND target.symbol = coalesce(%(new_symbol)s, source.symbol)
        WHERE source.exchange = %(exchange)s AND (%(symbol)s::text IS NULL OR source.symbol = %(symbol)s)
        ORDER BY target.symbol
    ) AS both
