"""A channel's key goes only where the operator may send it: a corpus of ways around that, none of which passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.origin import OriginRules, check_base_url, origin_of

STRICT, PRIVATE = OriginRules(allow_private=False), OriginRules(allow_private=True)


def lines(file: str) -> list[tuple[str, str]]:
    """The addresses of a corpus, each with its reason."""
    text = Path(__file__).with_name(file).read_text("utf-8")
    pairs = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return [(address.encode("ascii").decode("unicode_escape"), reason) for address, reason in pairs]


CORPUS = lines("ssrf_corpus.txt")
ALLOWED = [address for address, _ in lines("allowed_origins.txt")]


def test_the_corpus_is_large_and_says_why() -> None:
    assert len({address for address, _ in CORPUS}) == len(CORPUS) >= 200
    assert all(reason for _, reason in CORPUS)
    assert len(ALLOWED) >= 30


@pytest.mark.parametrize("address", [address for address, _ in CORPUS], ids=ascii)
def test_no_way_around_the_rule_passes(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        check_base_url(address, STRICT)
    with pytest.raises(ValueError, match="base_url"):
        check_base_url(address.upper() if address.isascii() else address, STRICT)


@pytest.mark.parametrize("address", ALLOWED)
def test_public_https_is_allowed(address: str) -> None:
    assert check_base_url(address + "/", STRICT) == check_base_url(address, STRICT) == address
    assert check_base_url(address, PRIVATE) == address


PRIVATE_HOSTS = (
    *("127.0.0.1:8", "localhost:9000", "10.0.0.8", "192.168.1.2:8080", "[::1]:80", "[fd12:3456::1]", "100.64.0.9"),
    *("provider:9000", "llm.internal", "vllm.models.svc.cluster.local:8000", "host.docker.internal:11434"),
)


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_private_hosts_are_allowed_by_settings_alone_and_by_http_too(host: str) -> None:
    for scheme in ("http", "https"):
        address = f"{scheme}://{host}/openai-main/v1"
        assert check_base_url(address, PRIVATE) == address
        with pytest.raises(ValueError, match="base_url"):
            check_base_url(address, STRICT)


NEVER = (
    *("https://169.254.169.254/v1", "http://metadata.google.internal/v1", "http://100.100.100.200/", "https://168.63.129.16/"),
    *("http://[fe80::1]/", "http://0.0.0.0:8000/v1", "http://[::]/", "http://224.0.0.1/", "http://[::ffff:169.254.169.254]/"),
    *("http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://[fd00:ec2::254]/", "http://instance-data/"),
    *(
        "ftp://127.0.0.1/",
        "http://u:p@127.0.0.1/v1",
        "http://127.0.0.1/v1?a=b",
        "${URL}/v1",
        "http://127.1/",
        "http://2130706433/",
    ),
)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_malformed_addresses_are_refused_with_private_upstreams_too(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        check_base_url(address, PRIVATE)


@pytest.mark.parametrize("address", ["http://api.openai.com/v1", "http://1.1.1.1/v1", "http://[2606:4700::1111]/v1"])
def test_private_upstreams_do_not_permit_http_to_public_hosts(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        check_base_url(address, PRIVATE)


def test_a_list_of_hosts_leaves_no_other() -> None:
    rules = OriginRules(
        allow_private=False, hosts=("api.openai.com", "*.azure-ai.com", "gpu.example-ai.com:9443", "xn--80ak6aa92e.com")
    )
    for address in (
        *("https://api.openai.com/v1", "https://eu.azure-ai.com/v1", "https://a.b.azure-ai.com", "https://xn--80ak6aa92e.com"),
        "https://gpu.example-ai.com:9443/v1",
    ):
        assert check_base_url(address, rules) == address
    for address in (
        *(
            "https://api.anthropic.com/v1",
            "https://azure-ai.com/v1",
            "https://evilazure-ai.com",
            "https://api.openai.com.evil.com",
        ),
        *("https://gpu.example-ai.com/v1", "https://api.openai.com:9443/v1", "https://10.0.0.1/v1", "https://.azure-ai.com/"),
    ):
        with pytest.raises(ValueError, match="base_url"):
            check_base_url(address, rules)


def test_the_origin_leaves_the_path_out_and_spells_the_port() -> None:
    assert origin_of("https://API.example.com/v1") == "https://api.example.com:443"
    assert origin_of("http://127.0.0.1:81/x/v1") == "http://127.0.0.1:81"
