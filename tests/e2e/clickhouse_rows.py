"""`python -m tests.e2e.clickhouse_rows DIRECTORY`: every row of every table of an embedded engine that nobody else has open."""

import sys

import chdb

TABLES = "SELECT database, name FROM system.tables WHERE database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA')"


def main(directory: str) -> None:
    """Print each table's name and its rows, tab-separated."""
    connection = chdb.connect(directory)
    for line in str(connection.query(TABLES, "TabSeparated")).splitlines():
        database, name = line.split("\t")
        rows = str(connection.query(f"SELECT * FROM `{database}`.`{name}`", "TabSeparated"))
        sys.stdout.write(f"== {name}: {len(rows.splitlines())} rows\n{rows}\n")
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
