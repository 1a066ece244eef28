"""Many hold orders as the arrays that `place_holds` takes. Buckets and envelopes are named once and referred to by position."""

from collections.abc import Sequence
from itertools import accumulate

from services.settlement.arrays import plain, texts, uuids
from services.settlement.holds import HoldOrder


class _Positions:
    """Distinct values in the order of their first use, counted from 1 as SQL does."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, ...], int] = {}

    def add(self, value: tuple[str, ...]) -> int:
        return self.of.setdefault(value, len(self.of) + 1)

    def column(self, index: int) -> list[str]:
        return [value[index] for value in self.of]


class HoldArrays:
    """The parameters of one call, and the envelopes by position to read its answer with."""

    def __init__(self, orders: Sequence[HoldOrder], *, version: int, default_output: int, floor_output: int) -> None:
        buckets, envelopes = _Positions(), _Positions()
        requests = [order.request for order in orders]
        bucket_at = [
            buckets.add((order.request.account_id, order.bucket)) if order.bucket and order.code is None else 0
            for order in orders
        ]
        account_at, project_at, key_at = [], [], []
        for order in orders:
            holder, key, currency = order.request.account_id, order.request.key, order.currency
            account_at.append(envelopes.add((holder, "account", holder, currency)))
            project_at.append(envelopes.add((holder, "project", key.project_id, currency)))
            key_at.append(envelopes.add((holder, "key", key.key_id, currency)))
        frozen_at = [
            {"account_frozen": account_at[i], "project_frozen": project_at[i], "key_frozen": key_at[i]}.get(order.code)
            if order.code
            else None
            for i, order in enumerate(orders)
        ]
        lasts = list(accumulate(len(order.unit_prices) for order in orders))
        firsts = [last - len(order.unit_prices) + 1 for last, order in zip(lasts, orders, strict=True)]
        prices = [price for order in orders for price in order.unit_prices]
        self.envelopes = list(envelopes.of)
        self.parameters: dict[str, object] = {
            "version": version,
            "default_output": default_output,
            "floor_output": floor_output,
            "bucket_holders": texts(buckets.column(0)),
            "bucket_names": texts(buckets.column(1)),
            "env_holders": texts(envelopes.column(0)),
            "env_kinds": texts(envelopes.column(1)),
            "env_entities": texts(envelopes.column(2)),
            "env_currencies": texts(envelopes.column(3)),
            "ids": uuids([request.hold_id for request in requests]),
            "requests": uuids([request.request_id for request in requests]),
            "holders": texts([request.account_id for request in requests]),
            "projects": texts([request.key.project_id for request in requests]),
            "keys": texts([request.key.key_id for request in requests]),
            "bucket_at": plain(bucket_at),
            "buckets": texts([order.bucket for order in orders]),
            "currencies": texts([order.currency for order in orders]),
            "account_at": plain(account_at),
            "project_at": plain(project_at),
            "key_at": plain(key_at),
            "inputs": plain([request.input_tokens_bound for request in requests]),
            "choices": plain([request.choices for request in requests]),
            "max_outputs": plain([request.max_output_tokens for request in requests]),
            "model_maxima": plain([request.model_max_output_tokens for request in requests]),
            "price_firsts": plain(firsts),
            "price_lasts": plain(lasts),
            "price_inputs": plain([price.input for price in prices]),
            "price_outputs": plain([price.output for price in prices]),
            "deadlines": texts([request.deadline_at.isoformat() for request in requests]),
            "codes": texts([order.code for order in orders]),
            "code_envelopes": plain(frozen_at),
            "needed": plain([order.needed_nano for order in orders]),
            "details": texts([order.detail for order in orders]),
        }
