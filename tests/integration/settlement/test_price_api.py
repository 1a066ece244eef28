"""`/admin/price-books` as an operator uses it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from schemas.envelope import now
from services.settlement.migrate import migrate
from tests.integration.settlement.processes import PRICES, Service, running

TEXT = PRICES.read_text("utf-8")
OLD = 'model: gpt-4o, currency: USD, input: "2.5", cached_input: "1.25", output: "10"'


@pytest.fixture(scope="module")
def api(module_database_url: str, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API, with the catalog's price book."""
    migrate(module_database_url)
    log = tmp_path_factory.mktemp("settlement") / "api.log"
    with running("services.settlement", log, module_database_url, kafka_bootstrap_servers) as service:
        yield service


def priced(output: str, effective_from: str | None = None) -> bytes:
    dated = f'effective_from: "{effective_from}"\n' if effective_from else ""
    return (dated + TEXT.replace(OLD, OLD.replace('"10"', f'"{output}"'))).encode()


def answer(reply: Any, status: int = 200) -> Any:
    assert reply.status_code == status, reply.text
    return reply.json()


def current(api: Service) -> Any:
    return answer(api.call("GET", "/admin/price-books/current"))


def test_what_is_exported_posts_back_to_the_same_digest(api: Service) -> None:
    found = current(api)
    again = answer(api.call("POST", "/admin/price-books", content=orjson.dumps(found["book"])))
    assert (again["new"], again["version"], again["sha256"]) == (False, found["version"], found["sha256"])


def test_a_file_is_compared_before_it_changes_anything_and_published_only_in_place_of_what_was_compared(api: Service) -> None:
    before = current(api)["version"]
    shown = answer(api.call("POST", "/admin/price-books/diff", content=priced("250")))
    assert (shown["version"], shown["same"]) == (before, False)
    fields = {"output": {"before": "10.00", "after": "250.00"}}
    assert shown["changes"] == [{"kind": "price", "id": "direct gpt-4o", "change": "changed", "fields": fields}]
    assert shown["warnings"] == ["gpt-4o on direct: output becomes 25 times what it was"]
    path = f"/admin/price-books?expected_version={before}&author=ann"
    headers = {"authorization": "Bearer admin", "idempotency-key": "prices-1"}
    published = answer(api.client.post(path, content=priced("250"), headers=headers), 201)
    assert (published["status"], published["author"], published["new"]) == ("in_force", "ann", True)
    assert answer(api.client.post(path, content=priced("250"), headers=headers), 201) == published
    for other in (
        f"{path}&effective_from=2999-01-01",
        f"/admin/price-books?expected_version={published['version']}&author=ann",
    ):
        error = answer(api.client.post(other, content=priced("250"), headers=headers), 409)["error"]
        assert error["code"] == "idempotency_conflict"
    turned = f"/admin/price-books?author=ann&expected_version={before}"
    assert answer(api.client.post(turned, content=priced("250"), headers=headers), 201) == published
    moved = api.call("POST", path, content=priced("12"))
    assert answer(moved, 409)["error"] | {"message": ""} == {
        "message": "", "type": "invalid_request_error", "param": "expected_version", "code": "price_book_moved",
        "version": published["version"],
    }  # fmt: skip
    both = f"/admin/price-books/diff?before={before}&after={published['version']}"
    assert answer(api.call("GET", both))["changes"] == shown["changes"]


def test_a_dated_book_is_listed_told_to_the_routers_and_taken_back(api: Service) -> None:
    at = (now() + timedelta(hours=1)).replace(microsecond=0)
    text = at.isoformat().replace("+00:00", "Z")
    in_force = current(api)["version"]
    path = f"/admin/price-books?effective_from={at + timedelta(days=1):%Y-%m-%d}"
    tomorrow = answer(api.call("POST", path, content=priced("11", text)), 201)
    assert tomorrow["effective_from"] == f"{at + timedelta(days=1):%Y-%m-%d}T00:00:00Z"
    assert answer(api.call("POST", f"/admin/price-books/{tomorrow['version']}/withdraw", json={"reason": "later"}))
    made = answer(api.call("POST", "/admin/price-books", content=priced("11", text)), 201)
    assert (made["status"], made["effective_from"], made["in_force_from"]) == ("scheduled", text, text)
    assert made["scheduled"] == [{"version": made["version"], "effective_from": text}]
    told = answer(api.call("GET", "/internal/price-book", token="edge"))
    assert (told["version"], [each["version"] for each in told["next"]]) == (in_force, [made["version"]])
    assert 0 < told["next"][0]["starts_in_ms"] <= 3_600_000
    first = answer(api.call("GET", "/admin/price-books?limit=1"))
    assert ([row["version"] for row in first["data"]], first["next_after"]) == ([made["version"]], str(made["version"]))
    rest = answer(api.call("GET", f"/admin/price-books?after={first['next_after']}"))["data"]
    assert {row["status"] for row in rest} <= {"in_force", "superseded", "withdrawn"}
    path = f"/admin/price-books/{made['version']}/withdraw"
    assert api.call("POST", path, json={}).status_code == 422
    taken = answer(api.call("POST", path, json={"reason": "a slip", "author": "bob"}))
    assert (taken["status"], taken["withdrawn_by"], taken["withdrawn_because"]) == ("withdrawn", "bob", "a slip")
    assert answer(api.call("GET", "/internal/price-book", token="edge"))["next"] == []
    refused = answer(api.call("POST", f"/admin/price-books/{in_force}/withdraw", json={"reason": "late"}), 409)
    assert refused["error"]["code"] == "price_book_counts"
    log = answer(api.call("GET", f"/admin/audit-log?entity_kind=price_book&entity_id={made['version']}"))["data"]
    assert [(row["action"], row["actor_name"], row["reason"]) for row in log] == [
        ("prices.withdraw", "bob", "a slip"),
        ("prices.publish", "admin", None),
    ]


def test_every_mistake_of_a_file_is_told_with_line_column_and_reason(api: Service) -> None:
    text = TEXT.replace('input: "0.15"', "input: 0.15", 1).replace(
        "route_type: direct, model: gpt-4.1,", "route_type: loop, model: gpt-4.1,"
    )
    error = answer(api.call("POST", "/admin/price-books", content=text.encode()), 422)["error"]
    assert error["code"] == "invalid_price_book"
    lines = TEXT.splitlines()
    mini = next(number for number, line in enumerate(lines, 1) if "gpt-4o-mini" in line)
    column = lines[mini - 1].index('"0.15"') + 1
    assert error["problems"][0] == {
        "line": mini, "column": column, "reason": 'prices.input: a price is a string, so that no digit is lost: write "0.15"',
    }  # fmt: skip
    assert [each["line"] for each in error["problems"]] == [mini, mini + 1]
    assert error["message"].startswith(f"line {mini}, column {column}: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/price-books/999"),
        ("POST", "/admin/price-books/999/withdraw"),
        ("GET", "/admin/price-books/diff?before=1&after=999"),
    ],
)
def test_a_version_that_never_was_is_not_found(api: Service, method: str, path: str) -> None:
    body = {"reason": "x"} if method == "POST" else None
    assert answer(api.call(method, path, json=body), 404)["error"]["code"] == "price_book_not_found"


def test_a_rate_is_set_once_superseded_and_used_by_the_report(api: Service) -> None:
    day = now().date().isoformat()
    line = {"from": "CNY", "to": "USD", "date": day, "rate": "0.14", "source": "bank"}
    assert answer(api.call("POST", "/admin/fx-rates", json={"rates": [line], "author": "ann"})) == {"set": 1, "unchanged": 0}
    assert answer(api.call("POST", "/admin/fx-rates", json={"rates": [line]})) == {"set": 0, "unchanged": 1}
    changed = {"rates": [line | {"rate": "0.15"}], "author": "bob"}
    assert answer(api.call("POST", "/admin/fx-rates", json=changed)) == {"set": 1, "unchanged": 0}
    listed = answer(api.call("GET", "/admin/fx-rates?from=CNY&to=USD"))["data"]
    assert [(row["rate"], row["from"], row["date"], row["superseded_at"]) for row in listed] == [("0.15", "CNY", day, None)]
    assert len(answer(api.call("GET", "/admin/fx-rates?history=true"))["data"]) == 2
    log = answer(api.call("GET", "/admin/audit-log?entity_kind=fx_rate"))["data"]
    assert [(row["actor_name"], row["before"], row["after"]["rate"]) for row in log] == [
        ("bob", {"rate": "0.14", "source": "bank"}, "0.15"),
        ("ann", None, "0.14"),
    ]
    found = answer(api.call("GET", f"/admin/reports/margin?from={day}&to={day}&by=account&currency=USD"))
    assert (found["from"], found["by"], found["data"], found["total"]["margin"]) == (day, "account", [], "0.00")


@pytest.mark.parametrize(
    "change",
    [
        {"rate": "0"},
        {"rate": "0.000000000000000001"},
        {"rate": 0.14},
        {"to": "CNY"},
        {"date": "2999-01-01"},
        {"date": "x"},
        {"source": ""},
        {"more": 1},
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(api: Service, change: dict[str, Any]) -> None:
    line = {"from": "CNY", "to": "USD", "date": now().date().isoformat(), "rate": "0.14", "source": "bank"}
    assert api.call("POST", "/admin/fx-rates", json={"rates": [line | change]}).status_code == 422
    assert api.call("POST", "/admin/fx-rates", json={"rates": [line, line]}).status_code == 422
    assert api.call("GET", "/admin/reports/margin?from=2026-01-02&to=2026-01-01").status_code == 422


@pytest.mark.parametrize("days", ["from=9999-12-31&to=9999-12-31", "from=0001-01-01&to=0001-01-01"])
def test_days_at_the_ends_of_the_calendar_are_refused(api: Service, days: str) -> None:
    assert api.call("GET", f"/admin/reports/margin?{days}").status_code == 422


def test_a_date_beyond_the_calendar_in_utc_is_refused_in_words(api: Service) -> None:
    for path in ("/admin/price-books/diff", "/admin/price-books"):
        refused = api.call("POST", f"{path}?effective_from=9999-12-31T23:59:59-14:00", content=priced("11"))
        assert "beyond the calendar" in answer(refused, 422)["error"]["message"]
    in_file = api.call("POST", "/admin/price-books/diff", content=priced("11", "9999-12-31T23:59:59-14:00"))
    assert "beyond the calendar" in answer(in_file, 422)["error"]["message"]
