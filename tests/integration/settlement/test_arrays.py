"""Array parameters arrive as what they are, in either form."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

from services.settlement.arrays import bigints, integers, plain, smallints, texts, uuids, words
from services.settlement.database import connect

Connection = psycopg.Connection[TupleRow]
TEXTS = ["a", None, "", 'quote " and \\', "{}", "NULL", "客户 \N{SNOWMAN}", "a", "x" * 3000]


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[Connection]:
    with connect(module_database_url, statement_timeout_ms=20_000) as opened:
        yield opened


def read(connection: Connection, array: Any, kind: str, *, binary: bool) -> Any:
    statement = f"select %(array)s::{kind}[]".encode()
    (row,) = connection.execute(statement, {"array": array}, binary=binary).fetchall()
    return row[0]


@pytest.mark.parametrize(
    ("made", "kind", "values"),
    [
        (uuids, "uuid", [UUID(int=0), None, UUID(int=2**128 - 1), UUID("018f8f3e-1c2d-7a3b-9c4d-5e6f70819293")]),
        (words, "text", TEXTS),
        (texts, "text", TEXTS),
        (bigints, "bigint", [0, None, -1, 2**63 - 1, -(2**63)]),
        (integers, "integer", [0, None, -1, 2**31 - 1, -(2**31)]),
        (smallints, "smallint", [0, None, -1, 2**15 - 1, -(2**15)]),
        (plain, "bigint", [0, None, -1, 2**63 - 1]),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_postgres_reads_every_array_as_it_was_meant(
    connection: Connection, made: Any, kind: str, values: list[Any], binary: bool
) -> None:
    for some in (values, values[:1], []):
        assert read(connection, made(some), kind, binary=binary) == some


@pytest.mark.parametrize(("made", "kind"), [(bigints, "bigint"), (integers, "integer"), (smallints, "smallint")])
def test_a_number_that_its_type_cannot_hold_is_for_postgres_to_refuse(connection: Connection, made: Any, kind: str) -> None:
    with pytest.raises(psycopg.DataError):
        read(connection, made([1, 2**63]), kind, binary=True)


@pytest.mark.parametrize("made", [words, texts])
def test_a_text_with_a_nul_character_is_refused(connection: Connection, made: Any) -> None:
    with pytest.raises(psycopg.DataError):
        read(connection, made(["a\x00b"]), "text", binary=True)


def test_the_binary_form_is_refused_where_the_statement_means_another_type(connection: Connection) -> None:
    with pytest.raises(psycopg.Error):
        read(connection, integers([1]), "bigint", binary=True)


def test_instants_stay_literals(connection: Connection) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    assert read(connection, texts([at.isoformat()]), "timestamptz", binary=True) == [at]
