-- What the read-only endpoint asks the engine itself.

-- name: formatted
-- Fails for more than one statement, and for what is none; comments are gone behind it.
SELECT formatQuerySingleLine({sql:String})

-- name: own_tables
SELECT name FROM system.tables WHERE database = currentDatabase()

-- name: functions_denied
-- Functions of the named categories, and every other name of theirs; in lower case.
SELECT lower(name) FROM system.functions
WHERE arrayExists(c -> has({categories:Array(String)}, trim(c)), splitByChar(',', categories))
    OR alias_to IN (
        SELECT name FROM system.functions WHERE arrayExists(c -> has({categories:Array(String)}, trim(c)), splitByChar(',', categories))
    )
