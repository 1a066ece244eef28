"""A channel's key goes only where the operator may send it."""

from __future__ import annotations

import pytest

from services.router.origin import check_base_url, origin_of


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "ftp://api.example.com",
        "https://",
        "https:///v1",
        "https://user:pass@api.example.com/v1",
        "https://api.example.com@evil.example/v1",
        "https://api.example.com/v1?next=1",
        "https://api.example.com/v1#x",
        "https://api.example.com:99999/v1",
        "https://localhost/v1",
        "https://LOCALHOST/v1",
        "https://localhost./v1",
        "https://metadata/v1",
        "https://db.internal/v1",
        "https://printer.local/v1",
        "https://127.0.0.1/v1",
        "https://127.1/v1",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://10.0.0.8/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://[fd00::1]/v1",
        "https://0.0.0.0/v1",
        "https://api.example.com/v1\n",
        "https://api.example.com /v1",
        "https://api.example.com\\@evil.example/v1",
        "${PROVIDER_URL}/v1",
        "https://exämple.com/v1",
    ],
)
def test_a_url_that_is_not_public_https_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url|[Pp]ort|IPv6"):
        check_base_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "checked"), [("https://api.openai.com/v1/", "https://api.openai.com/v1"), ("https://1.1.1.1/v1",) * 2]
)
def test_public_https_is_allowed(url: str, checked: str) -> None:
    assert check_base_url(url, allow_private=False) == checked


def test_private_upstreams_are_allowed_by_settings_alone() -> None:
    assert check_base_url("http://127.0.0.1:8/openai-main/v1", allow_private=True) == "http://127.0.0.1:8/openai-main/v1"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://u:p@127.0.0.1/v1", "http://127.0.0.1/v1?a=b", "${URL}/v1"])
def test_a_malformed_url_is_refused_with_private_upstreams_too(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        check_base_url(url, allow_private=True)


def test_the_origin_leaves_the_path_out_and_spells_the_port() -> None:
    assert origin_of("https://API.example.com/v1") == "https://api.example.com:443"
    assert origin_of("http://127.0.0.1:81/x/v1") == "http://127.0.0.1:81"
