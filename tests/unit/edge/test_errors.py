"""Every refusal has OpenAI's shape and its own status."""

import json

import pytest

from services.edge import errors
from services.edge.errors import ApiError

REFUSALS: list[tuple[ApiError, int]] = [
    (errors.InvalidRequestError("invalid_value", "m", param="model"), 400),
    (errors.InvalidApiKeyError(), 401),
    (errors.ForbiddenError("model_not_allowed", "m"), 403),
    (errors.NotFoundError("unknown_url", "m"), 404),
    (errors.MethodNotAllowedError("PUT", ["GET", "POST"]), 405),
    (errors.BodyTimeoutError(30), 408),
    (errors.ConflictError("in_progress", "m", receipt="/v1/requests/1"), 409),
    (errors.BodyTooLargeError(10), 413),
    (errors.UnprocessableError("invalid_value", "m"), 422),
    (errors.RateLimitedError("m", retry_after_s=5, facts={}), 429),
    (errors.PassedOnError(409, {"message": "m", "code": "run_closed"}), 409),
    (errors.UnavailableError("overloaded", "m"), 503),
    (errors.OutcomeUnknownError("/v1/requests/1", bound=True), 503),
]


@pytest.mark.parametrize(("error", "status"), REFUSALS, ids=lambda value: type(value).__name__)
def test_a_refusal_has_openais_shape(error: ApiError, status: int) -> None:
    shape = json.loads(error.body())
    assert set(shape) == {"error"}
    assert set(shape["error"]) == {"message", "type", "param", "code"}
    assert (error.status, shape["error"]["code"]) == (status, error.code)


def test_what_programs_need_comes_beside_the_four_members() -> None:
    envelope = {"kind": "project", "id": "prj_1", "window": None}
    shape = json.loads(errors.ForbiddenError("model_not_allowed", "m", facts={"envelope": envelope}).body())["error"]
    assert shape == {
        "message": "m",
        "type": "permission_error",
        "param": None,
        "code": "model_not_allowed",
        "envelope": envelope,
    }


def test_every_kind_of_refusal_is_tried_here() -> None:
    assert set(ApiError.__subclasses__()) == {type(error) for error, _ in REFUSALS}


def test_every_error_says_what_to_do() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgeError)]
    assert [kind.__name__ for kind in kinds if not kind.__doc__] == []


def test_a_conflict_tells_clients_not_to_retry_and_names_the_receipt() -> None:
    headers = dict(errors.ConflictError("already_done", "m", receipt="/v1/requests/1").headers())
    assert headers == {b"x-should-retry": b"false", b"x-tollbook-receipt": b"/v1/requests/1"}


def test_what_a_policy_or_a_freeze_refuses_is_not_to_be_tried_again() -> None:
    assert errors.ForbiddenError("key_frozen", "m").headers() == [(b"x-should-retry", b"false")]
    assert errors.PassedOnError(403, {"message": "m", "code": "run_not_allowed"}).headers() == [(b"x-should-retry", b"false")]


def test_what_settlement_refuses_keeps_its_status_its_type_and_its_facts() -> None:
    said = {"message": "m", "type": "insufficient_quota", "param": "budget", "code": "insufficient_balance", "left": "1.00"}
    error = errors.PassedOnError(402, said)
    assert (error.status, json.loads(error.body())) == (402, {"error": said})
    assert error.headers() == [(b"x-should-retry", b"false")]
    assert errors.PassedOnError(404, {"message": "m", "code": "run_not_found"}).headers() == []


@pytest.mark.parametrize(("wait_s", "again"), [(1, b"true"), (60, b"true"), (61, b"false"), (120, b"false")])
def test_a_rate_limit_says_when_to_try_again_and_whether_an_sdk_should_by_itself(wait_s: int, again: bytes) -> None:
    headers = dict(errors.RateLimitedError("m", retry_after_s=wait_s, facts={}).headers())
    assert headers == {b"retry-after": b"%d" % wait_s, b"x-should-retry": again}


def test_what_time_heals_says_when_to_try_again() -> None:
    assert errors.UnavailableError("x", "m", retry_after_s=5).headers() == [(b"retry-after", b"5")]


def test_a_wrong_method_names_the_right_ones() -> None:
    assert errors.MethodNotAllowedError("PUT", ["GET", "HEAD"]).headers() == [(b"allow", b"GET, HEAD")]
