"""Which ClickHouse migrations still apply."""

import pytest

from services.analytics.errors import SchemaDriftError
from services.analytics.warehouse_schema import Migration, migrations, pending

FIRST, SECOND = Migration("0001-a", "CREATE TABLE a"), Migration("0002-b", "CREATE TABLE b")


def test_only_what_was_not_applied_is_pending() -> None:
    assert pending([FIRST, SECOND], {}) == [FIRST, SECOND]
    assert pending([FIRST, SECOND], {"0001-a": FIRST.digest}) == [SECOND]


def test_a_migration_that_was_edited_after_it_was_applied_halts() -> None:
    with pytest.raises(SchemaDriftError, match="0001-a"):
        pending([FIRST], {"0001-a": SECOND.digest})


def test_migrations_apply_in_the_order_of_their_numbers_and_no_number_is_taken_twice() -> None:
    numbers = [int(migration.name[:4]) for migration in migrations()]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1
