"""A run is asked of settlement once, lets in its own key alone, and narrows what that key may do."""

from typing import Any

import pytest

from schemas.calls import Policy
from schemas.rules import RunRules
from schemas.runs import RunMembership
from services.edge.errors import ForbiddenError, NotFoundError, PassedOnError, PeerUnavailableError, UnavailableError
from services.edge.memberships import Memberships
from services.edge.policies import EnvelopePolicy
from tests.unit.edge.values import caller

RUN = "run_0123456789abcdef"


class Ledger:
    """Runs of the account acc_1, and how often they were asked for."""

    def __init__(self, **rules: Any) -> None:
        self.asked: list[tuple[str, str]] = []
        self.rules = RunRules(**rules)
        self.away = False

    async def fetch(self, account_id: str, run_id: str) -> RunMembership:
        self.asked.append((account_id, run_id))
        if self.away:
            raise PeerUnavailableError("away")
        if account_id != "acc_1":
            raise PassedOnError(404, {"message": "there is none", "code": "run_not_found"})
        return RunMembership(run_id=run_id, project_id="prj_1", key_id="Q7mZk2XvB9tL", buckets=["credit"], rules=self.rules)


async def test_a_run_is_asked_for_once_and_its_member_is_made_once() -> None:
    ledger, key = Ledger(), caller()
    runs = Memberships(ledger.fetch)
    first, second = await runs.join(key, RUN), await runs.join(key, RUN)
    assert first is second
    assert ledger.asked == [("acc_1", RUN)]


async def test_a_key_that_was_read_anew_is_narrowed_anew() -> None:
    runs = Memberships(Ledger(models=["gpt-4o", "o3"]).fetch)
    assert (await runs.join(caller(), RUN)).policy.models == ["gpt-4o", "o3"]
    changed = caller(project_policy=EnvelopePolicy(models=["o3"]))
    assert (await runs.join(changed, RUN)).policy.models == ["o3"]


async def test_the_run_that_was_joined_longest_ago_makes_room() -> None:
    ledger, key = Ledger(), caller()
    runs = Memberships(ledger.fetch, remembered=2)
    for run_id in ("run_a", "run_b", "run_a", "run_c", "run_a", "run_b"):
        await runs.join(key, run_id)
    assert [run_id for _, run_id in ledger.asked] == ["run_a", "run_b", "run_c", "run_b"]


async def test_another_key_of_the_account_is_forbidden_and_another_account_is_told_of_no_run() -> None:
    runs = Memberships(Ledger().fetch)
    await runs.join(caller(), RUN)
    with pytest.raises(ForbiddenError) as forbidden:
        await runs.join(caller(key_id="other0000000"), RUN)
    assert forbidden.value.code == "run_not_allowed"
    with pytest.raises(NotFoundError) as missing:
        await runs.join(caller(account_id="acc_2"), RUN)
    assert missing.value.code == "run_not_found"


@pytest.mark.parametrize("run_id", ["", "x", "run_", "../balances", "run_a/../../x", "run_a b", "run_" + "a" * 97, "RUN_a"])
async def test_nobody_is_asked_about_an_id_that_no_run_has(run_id: str) -> None:
    ledger = Ledger()
    with pytest.raises(NotFoundError):
        await Memberships(ledger.fetch).join(caller(), run_id)
    assert ledger.asked == []


async def test_a_ledger_that_is_away_is_asked_again() -> None:
    ledger = Ledger()
    ledger.away = True
    runs = Memberships(ledger.fetch)
    with pytest.raises(UnavailableError) as refused:
        await runs.join(caller(), RUN)
    assert refused.value.code == "ledger_unavailable"
    ledger.away = False
    assert (await runs.join(caller(), RUN)).policy == Policy()


@pytest.mark.parametrize(
    ("policies", "run_may", "allowed"),
    [
        ({}, None, False),
        ({}, True, True),
        ({"policy": EnvelopePolicy(cross_bucket=False)}, True, True),
        ({"policy": EnvelopePolicy(cross_bucket=True)}, False, False),
        ({"policy": EnvelopePolicy(cross_bucket=True)}, None, True),
        ({"project_policy": EnvelopePolicy(cross_bucket=False)}, True, False),
        ({"account_policy": EnvelopePolicy(cross_bucket=False), "policy": EnvelopePolicy(cross_bucket=True)}, True, False),
        ({"account_policy": EnvelopePolicy(cross_bucket=True)}, None, True),
    ],
)
async def test_a_run_may_cross_buckets_beyond_its_key_never_beyond_account_or_project(
    policies: dict[str, EnvelopePolicy], run_may: bool | None, allowed: bool
) -> None:
    member = await Memberships(Ledger(cross_bucket=run_may).fetch).join(caller(**policies), RUN)
    assert member.policy.cross_bucket is allowed


async def test_a_model_that_the_run_leaves_out_is_refused_in_its_name() -> None:
    member = await Memberships(Ledger(models=["gpt-4o"]).fetch).join(caller(), RUN)
    with pytest.raises(ForbiddenError, match=f"The run {RUN} may not use the model") as refused:
        member.require_model("o3")
    assert refused.value.facts["envelope"] == {"kind": "run", "id": RUN, "window": None}
