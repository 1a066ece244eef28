"""A header that says one thing is given once."""

import pytest

from services.edge.errors import InvalidRequestError
from services.edge.labels import refuse_repeated


@pytest.mark.parametrize("header", [b"x-tollbook-run", b"idempotency-key", b"x-tollbook-tags"])
@pytest.mark.parametrize("second", [b"one", b"another"])
def test_a_repeated_header_is_refused_by_its_name(header: bytes, second: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="more than once") as refused:
        refuse_repeated([(b"host", b"x"), (header, b"one"), (b"accept", b"y"), (header, second)])
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "invalid_header", header.decode())


def test_other_headers_may_be_repeated() -> None:
    refuse_repeated([(b"via", b"a"), (b"via", b"b"), (b"x-tollbook-run", b"run_1"), (b"idempotency-key", b"k")])
