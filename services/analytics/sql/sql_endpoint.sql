-- What the read-only endpoint asks the engine itself.

-- name: formatted
-- Fails for more than one statement, and for what is none; comments are gone behind it.
SELECT formatQuerySingleLine({sql:String})

-- name: own_tables
SELECT name FROM system.tables WHERE database = currentDatabase()

-- name: other_databases
SELECT name FROM system.databases WHERE name NOT IN (currentDatabase(), 'information_schema', 'INFORMATION_SCHEMA')

-- name: functions_denied
-- Functions of the named categories, and every other name of theirs; in lower case.
SELECT lower(name) FROM system.functions
WHERE arrayExists(c -> has({categories:Array(String)}, trim(c)), splitByChar(',', categories))
    OR alias_to IN (
        SELECT name FROM system.functions WHERE arrayExists(c -> has({categories:Array(String)}, trim(c)), splitByChar(',', categories))
    )
-- A table function that is no function besides has no place but in FROM.
UNION DISTINCT
SELECT lower(name) FROM system.table_functions WHERE lower(name) NOT IN (SELECT lower(name) FROM system.functions)
