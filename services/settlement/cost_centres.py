"""Opens cost centres: a bucket that a limit funds instead of a top-up."""

from typing import Any

import psycopg
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from services.settlement import accounts, limit_store
from services.settlement.errors import ConflictError, InvalidError
from services.settlement.ledger_accounts import AccountIds
from services.settlement.money_in import DecimalText, LimitChange, Name, Window
from services.settlement.pricebook import PriceBook
from services.settlement.statements import statements


class CostCentre(BaseModel):
    """Body of `POST /admin/cost-centres`: the account uses the bucket up to the limit in each window, without payments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: Name
    bucket: Name
    limit: DecimalText
    window: Window = "month"
    author: Name = "admin"

    def as_limit(self, book: PriceBook) -> LimitChange:
        """The limit that funds the bucket. Raises InvalidError for a bucket that the book does not know."""
        bucket = book.bucket_named(self.bucket)
        if bucket is None:
            raise InvalidError(
                f"there is no bucket {self.bucket!r} in price book {book.version}", code="unknown_bucket", param="bucket"
            )
        return LimitChange(
            account_id=self.account_id,
            kind="bucket",
            id=bucket.id,
            currency=bucket.currency,
            window=self.window,
            limit=self.limit,
        )


def open_cost_centre(
    connection: psycopg.Connection[TupleRow], asked: CostCentre, book: PriceBook, *, author: str
) -> dict[str, Any]:
    """Open the bucket and set its limit; asked again, set the limit anew.

    Raises InvalidError for an unknown bucket and ConflictError for a bucket that payments fund.
    """
    change = asked.as_limit(book)
    sql = statements("admin.sql")
    with connection.transaction():
        key = {"holder": asked.account_id, "bucket": change.id, "currency": change.currency}
        connection.execute(sql["lock_holder"], key)
        customer = accounts.customer_bucket(asked.account_id, change.id, change.currency)
        ids = AccountIds(connection)
        ids.open({customer.name: customer})
        connection.execute(sql["open_cost_centre"], {**key, "account": ids.id_of(customer)})
        row = connection.execute(sql["funding"], key).fetchone()
        if row is None or row[0] != "limit":
            raise ConflictError(
                f"the bucket {change.id} of account {asked.account_id} is funded by payments: open the cost centre in an "
                "account of its own",
                code="bucket_is_prepaid",
            )
        limit = limit_store.set_limit(connection, change, author=author)
    return {**limit, "bucket": change.id, "funding": "limit"}
