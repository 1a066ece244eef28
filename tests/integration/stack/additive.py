"""What a migration took away from, or demands of, whoever works with the tables as they were before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

COLUMNS = """
    SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL, c.relname
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
"""
CONSTRAINTS = """
    SELECT c.relname || '.' || k.conname, c.relname,
        ARRAY(SELECT c.relname || '.' || a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(k.conkey))
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.connamespace = %s::regnamespace AND k.contype <> 'n'
"""
UNIQUE = """
    SELECT t.relname || '.' || i.relname, t.relname,
        ARRAY(SELECT t.relname || '.' || a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY(x.indkey))
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    WHERE i.relnamespace = %s::regnamespace AND x.indisunique
"""
NAMED = """
    SELECT 'table ' || relname FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
    UNION ALL SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(oid) || ') '
        || pg_get_function_result(oid) FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace
    UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = %(schema)s::regnamespace AND typtype IN ('d', 'e')
    UNION ALL SELECT 'label ' || t.typname || ' ' || e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
        WHERE t.typnamespace = %(schema)s::regnamespace
"""


@dataclass(frozen=True)
class Shape:
    """What code that works with a schema relies on, by name."""

    columns: Mapping[str, tuple[str, bool, bool, str]]
    demands: Mapping[str, tuple[str, frozenset[str]]]
    named: frozenset[str]


def shape_of(connection: psycopg.Connection[Any], schema: str) -> Shape:
    """Read the catalog."""
    columns = {
        name: (kind, filled, default, table) for name, kind, filled, default, table in _rows(connection, COLUMNS, schema)
    }
    demands = {
        name: (table, frozenset(on)) for query in (CONSTRAINTS, UNIQUE) for name, table, on in _rows(connection, query, schema)
    }
    rows = connection.execute(NAMED.encode(), {"schema": schema}).fetchall()
    return Shape(columns, demands, frozenset(name for (name,) in rows if "yoyo" not in name))


def broken(before: Shape, after: Shape) -> list[str]:
    """Why code that worked before would not work afterwards, as far as a catalog can tell."""
    found = [f"{name} is gone" for name in sorted(before.named - after.named)]
    found += [f"column {name} is gone" for name in sorted(before.columns.keys() - after.columns.keys())]
    for name, (kind, filled, _, _) in sorted(before.columns.items()):
        now = after.columns.get(name)
        if now and now[0] != kind:
            found.append(f"column {name} was {kind} and is {now[0]}")
        if now and now[1] and not filled:
            found.append(f"column {name} may no longer be null")
    tables = {table for _, _, _, table in before.columns.values()}
    new = after.columns.keys() - before.columns.keys()
    for name in sorted(new):
        _, filled, default, table = after.columns[name]
        if table in tables and filled and not default:
            found.append(f"new column {name} wants a value that old code does not give")
    for name, (table, on) in sorted(after.demands.items()):
        if name not in before.demands and table in tables and not on <= new:
            found.append(f"{name} is a new rule for rows that old code writes")
    return found


def _rows(connection: psycopg.Connection[Any], query: str, schema: str) -> list[Any]:
    return [row for row in connection.execute(query.encode(), (schema,)).fetchall() if "yoyo" not in row[0]]
