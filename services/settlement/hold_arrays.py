"""Many hold orders as the arrays that `place_holds` takes. Buckets and envelopes are named once and referred to by position."""

from collections.abc import Sequence
from itertools import accumulate

from services.settlement.arrays import bigints, integers, texts, uuids, words
from services.settlement.holds import HoldOrder


class _Positions:
    """Distinct values in the order of their first use, counted from 1 as SQL does."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, ...], int] = {}

    def add(self, value: tuple[str, ...]) -> int:
        return self.of.setdefault(value, len(self.of) + 1)

    def column(self, index: int) -> list[str]:
        return [value[index] for value in self.of]


class _Chain:
    """For each hold, by position: the envelopes that it passes, and its run. 0 where there is no run."""

    def __init__(self, orders: Sequence[HoldOrder]) -> None:
        self.envelopes, self.runs = _Positions(), _Positions()
        self.account: list[int] = []
        self.bucket: list[int] = []
        self.project: list[int] = []
        self.key: list[int] = []
        self.run_envelope: list[int] = []
        self.run: list[int] = []
        for order in orders:
            self._add(order)

    def _add(self, order: HoldOrder) -> None:
        add, holder, currency = self.envelopes.add, order.request.account_id, order.currency
        self.account.append(add((holder, "account", holder, currency)))
        self.bucket.append(add((holder, "bucket", order.bucket, currency)))
        self.project.append(add((holder, "project", order.request.key.project_id, currency)))
        self.key.append(add((holder, "key", order.request.key.key_id, currency)))
        run_id = order.request.run_id
        self.run_envelope.append(add((holder, "run", f"{run_id}/{order.bucket}", currency)) if run_id else 0)
        self.run.append(self.runs.add((run_id,)) if run_id else 0)

    def stopped_by(self, index: int, code: str | None) -> int | None:
        """The envelope that a refusal names which was decided before the balances are looked at."""
        if code is None:
            return None
        return {
            "account_frozen": self.account[index],
            "project_frozen": self.project[index],
            "key_frozen": self.key[index],
            "run_not_found": self.run_envelope[index],
            "run_not_allowed": self.run_envelope[index],
        }.get(code)

    def parameters(self, orders: Sequence[HoldOrder]) -> dict[str, object]:
        """The arrays that name envelopes and runs."""
        return {
            "run_ids": words(self.runs.column(0)),
            "env_holders": words(self.envelopes.column(0)),
            "env_kinds": words(self.envelopes.column(1)),
            "env_entities": words(self.envelopes.column(2)),
            "env_currencies": words(self.envelopes.column(3)),
            "account_at": integers(self.account),
            "bucket_env_at": integers(self.bucket),
            "project_at": integers(self.project),
            "key_at": integers(self.key),
            "run_env_at": integers(self.run_envelope),
            "run_at": integers(self.run),
            "code_envelopes": integers([self.stopped_by(index, order.code) for index, order in enumerate(orders)]),
        }


class HoldArrays:
    """The parameters of one call, and the envelopes by position to read its answer with."""

    def __init__(self, orders: Sequence[HoldOrder], *, version: int, default_output: int, floor_output: int) -> None:
        buckets = _Positions()
        requests = [order.request for order in orders]
        bucket_at = [
            buckets.add((order.request.account_id, order.bucket, order.reserve)) if order.bucket and order.code is None else 0
            for order in orders
        ]
        chain = _Chain(orders)
        lasts = list(accumulate(len(order.unit_prices) for order in orders))
        firsts = [last - len(order.unit_prices) + 1 for last, order in zip(lasts, orders, strict=True)]
        prices = [price for order in orders for price in order.unit_prices]
        self.envelopes = list(chain.envelopes.of)
        self.parameters: dict[str, object] = {
            "version": version,
            "default_output": default_output,
            "floor_output": floor_output,
            "bucket_holders": words(buckets.column(0)),
            "bucket_names": words(buckets.column(1)),
            "bucket_runs": words(buckets.column(2)),
            **chain.parameters(orders),
            "ids": uuids([request.hold_id for request in requests]),
            "requests": uuids([request.request_id for request in requests]),
            "holders": words([request.account_id for request in requests]),
            "projects": words([request.key.project_id for request in requests]),
            "keys": words([request.key.key_id for request in requests]),
            "bucket_at": integers(bucket_at),
            "buckets": words([order.bucket for order in orders]),
            "currencies": words([order.currency for order in orders]),
            "inputs": bigints([order.input_tokens for order in orders]),
            "choices": bigints([order.choices for order in orders]),
            "max_outputs": bigints([request.max_output_tokens for request in requests]),
            "model_maxima": bigints([request.model_max_output_tokens for request in requests]),
            "price_firsts": integers(firsts),
            "price_lasts": integers(lasts),
            "price_inputs": bigints([price.input for price in prices]),
            "price_outputs": bigints([price.output for price in prices]),
            "deadlines": texts([request.deadline_at.isoformat() for request in requests]),
            "codes": words([order.code for order in orders]),
            "needed": bigints([order.needed_nano for order in orders]),
            "details": words([order.detail for order in orders]),
        }
