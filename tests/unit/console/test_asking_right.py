"""What a command asks of the services: filled in, about things that there are, and with words about whose key it is."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from services.console import connections
from services.console.addresses import Address, Given
from services.console.audit_commands import _verdict
from services.console.entities.audit_log_command import _change, _who
from services.console.entities.channel_commands import _put
from services.console.entities.naming import ACCOUNT, known_id_of
from services.console.errors import BadFileError, NotOneError
from services.console.profile_commands import say_if_passed_over
from services.console.profiles import Profile, Profiles, write_profiles
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.terminal import Terminal

ANSWER = Callable[[httpx.Request], httpx.Response]


def client(answer: ANSWER) -> ServiceClient:
    return ServiceClient("edge", Address(url="http://s", token="t"), transport=httpx.MockTransport(answer))


class Told:
    """A terminal whose words are kept."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.terminal = Terminal(Console(file=self.out, width=200), Console(file=self.err, width=200))


def putting(told: Told, sent: list[Any]) -> Session:
    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        faults = [{"channel": "acme", "out_of_service": True, "reason": "no key"}]
        return httpx.Response(200, json={"version": 2, "faults": faults})

    return Session(
        connect=lambda _: client(answer), connect_customer=lambda _: client(answer), terminal=told.terminal,
        names=lambda: {"ACME_LLM_KEY": "sk-real"},
    )  # fmt: skip


def test_a_channel_that_is_put_is_filled_in_and_a_name_that_is_not_set_is_refused(tmp_path: Path) -> None:
    told, sent, file = Told(), list[Any](), tmp_path / "row.yaml"
    file.write_text('id: acme\nkeys: [{secret: "${ACME_LLM_KEY}"}]\n')
    _put(putting(told, sent), "/admin/channels", "channel", file, None, as_json=False)
    assert sent == [{"id": "acme", "keys": [{"secret": "sk-real"}]}]
    assert "channel acme is out of service: no key" in told.out.getvalue()
    file.write_text('id: acme\nkeys: [{secret: "${NOT_SET}"}]\n')
    with pytest.raises(BadFileError, match="line 2: NOT_SET is not set"):
        _put(putting(told, sent), "/admin/channels", "channel", file, None, as_json=False)
    assert len(sent) == 1


def test_a_channel_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    told, sent = Told(), list[Any]()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"id: acme\n")))
    _put(putting(told, sent), "/admin/channels", "channel", Path("-"), None, as_json=False)
    assert sent == [{"id": "acme"}]


def test_an_account_that_there_is_not_is_refused_by_name_and_by_id() -> None:
    there = {"account_id": "acc_0123456789abcdef", "name": "acme"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/admin/accounts":
            return httpx.Response(200, json={"data": [there], "next_after": None})
        found = request.url.path.endswith(there["account_id"])
        return httpx.Response(200, json=there) if found else httpx.Response(404, json={"error": {"message": "none"}})

    for text in ("acme", there["account_id"]):
        assert known_id_of(client(answer), ACCOUNT, text) == there["account_id"]
    for text in ("nonsense", "acc_0000000000000000"):
        with pytest.raises(NotOneError, match="there is no account"):
            known_id_of(client(answer), ACCOUNT, text)


def test_a_key_that_nobody_gave_is_named_on_stderr(tmp_path: Path) -> None:
    stack = tmp_path / "stack.json"
    stack.write_text(json.dumps({"edge_url": "http://stack", "demo": {"api_key": "sk-demo"}}))
    environ = {"TOLLBOOK_CONFIG_DIR": str(tmp_path / "settings")}
    for given, key, words in (
        (Given(urls={}, stack=stack), None, "with the demo's key\n"),
        (Given(urls={}, stack=stack), "sk-own", ""),
        (Given(urls={}, profile="mine"), None, "with the key of the profile mine\n"),
    ):
        told = Told()
        mine = Profile(stack=str(stack), api_key="sk-mine")
        write_profiles(tmp_path / "settings" / "profiles.json", Profiles(by_name={"mine": mine}))
        connections.session(given, environ, told.terminal).connect_customer(key)
        assert (told.err.getvalue(), told.out.getvalue()) == (words, "")


def test_a_profile_that_a_stack_goes_before_is_said() -> None:
    for current, home, profile, said in (
        ("work", "/x", None, True), ("work", "/x", "work", False), ("work", "", None, False), (None, "/x", None, False),
    ):  # fmt: skip
        told = Told()
        session = Session(
            connect=lambda _: client(lambda _: httpx.Response(200)),
            connect_customer=lambda _: client(lambda _: httpx.Response(200)),
            terminal=told.terminal, variables={"TOLLBOOK_HOME": home}, given=Given(urls={}, profile=profile),
        )  # fmt: skip
        say_if_passed_over(session, Profiles(current=current))
        assert ("goes before the profile work" in told.err.getvalue()) is said


@pytest.mark.parametrize(
    ("actor", "name", "said"),
    [
        ("root", "root", "root"),
        ("root", "", "root"),
        ("root", "admin", "root (admin)"),
        ("usr_1", "Ann", "Ann"),
        ("u", "", "u"),
    ],
)
def test_the_admin_token_is_root_with_the_author_beside_it(actor: str, name: str, said: str) -> None:
    assert _who({"actor": actor, "actor_name": name}) == said


def test_a_rule_that_was_left_out_is_said_once() -> None:
    line = {"name": "I12", "rule": "r", "ok": None, "skipped": "not asked for"}
    assert _verdict(line, []).endswith("r: left out (--quick)")


def test_the_audit_log_shows_what_was_posted_and_of_what_a_limit_is() -> None:
    answer = {"account_id": "a", "amount": "5", "amount_nano": 5_000_000_000, "currency": "USD", "balance": {"before": "0"}}
    topup = {"before": {"balance_nano": 0}, "after": answer, "entity_kind": "topup"}
    assert _change(topup) == 'amount "5", currency "USD"'
    was = {"window": "day", "limit": "5", "limit_nano": 5_000_000_000}
    limit = {"before": was, "after": {**was, "limit": "7", "limit_nano": 7_000_000_000}, "entity_kind": "key"}
    assert _change(limit) == 'key, per day: limit "5" -> "7"'
