SELECT 'column', table_name::text, column_name::text, data_type::text, is_nullable::text, column_default::text
FROM information_schema.columns
WHERE table_schema = 'edge' AND table_name NOT LIKE '%yoyo%'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', ''
FROM pg_constraint
WHERE connamespace = 'edge'::regnamespace AND conrelid::regclass::text NOT LIKE '%yoyo%'
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef, '', ''
FROM pg_indexes
WHERE schemaname = 'edge' AND tablename NOT LIKE '%yoyo%'
ORDER BY 1, 2, 3;
