-- The tables of Titan-10 with a column `exchange`, and the names of all their columns. Views are left out. The chunks
-- of the hypertable are left out too, because they are in another schema.
SELECT tables.table_name::text, array_agg(columns.column_name::text) AS columns
FROM information_schema.tables
JOIN information_schema.columns
    ON columns.table_schema = tables.table_schema AND columns.table_name = tables.table_name
WHERE tables.table_schema = current_schema() AND tables.table_type = 'BASE TABLE'
GROUP BY tables.table_name
HAVING bool_or(columns.column_name = 'exchange')
ORDER BY tables.table_name
