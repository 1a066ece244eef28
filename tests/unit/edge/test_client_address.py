"""The client's address: what only the socket and our own proxies can say, never what the client says of itself."""

from ipaddress import ip_address

import pytest

from services.edge.client_address import ClientAddresses, parse_networks, within

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
DIRECT = ClientAddresses()
BEHIND = ClientAddresses(PROXIES)
RFC7239 = ClientAddresses(PROXIES, "forwarded")
OUTSIDE = "198.51.100.7"
CLIENT = "203.0.113.9"


def forwarded_for(*values: str, name: bytes = b"x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"edge"), *((name, value.encode("latin-1")) for value in values)]


def found(addresses: ClientAddresses, peer: str | None, headers: list[tuple[bytes, bytes]]) -> str | None:
    address = addresses.find(peer, headers)
    return None if address is None else str(address)


def test_without_proxies_only_the_socket_counts() -> None:
    assert found(DIRECT, OUTSIDE, forwarded_for(CLIENT)) == OUTSIDE
    assert found(DIRECT, None, forwarded_for(CLIENT)) is None


def test_a_header_counts_only_from_a_trusted_proxy() -> None:
    assert found(BEHIND, "10.0.0.1", forwarded_for(CLIENT)) == CLIENT
    assert found(BEHIND, OUTSIDE, forwarded_for(CLIENT)) == OUTSIDE
    assert found(BEHIND, "10.0.0.1", []) == "10.0.0.1"


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ([f"{CLIENT}, {OUTSIDE}"], OUTSIDE),
        ([f"127.0.0.1, {CLIENT}, {OUTSIDE}, 10.1.1.1"], OUTSIDE),
        ([CLIENT, OUTSIDE], OUTSIDE),
        ([f"{OUTSIDE}, 10.2.2.2", "10.3.3.3"], OUTSIDE),
        (["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ([f"{CLIENT},"], None),
        ([f"{CLIENT}, unknown"], None),
        ([f"{CLIENT}, 10.0.0.1.evil"], None),
        ([f"{OUTSIDE}:4711"], OUTSIDE),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:203.0.113.9"], CLIENT),
        ([f"{OUTSIDE}, 2001:db8:ffff::1"], OUTSIDE),
        (["\xe9"], None),
        (["1.2.3.4 5.6.7.8"], None),
    ],
)
def test_what_a_client_writes_left_of_its_own_address_changes_nothing(said: list[str], client: str | None) -> None:
    assert found(BEHIND, "10.0.0.1", forwarded_for(*said)) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ([f"for={CLIENT};proto=https;by=10.0.0.1"], CLIENT),
        ([f"for={CLIENT}, for={OUTSIDE}"], OUTSIDE),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        ([f"For={OUTSIDE}, for=10.2.2.2"], OUTSIDE),
        ([f"for={CLIENT}, proto=https"], None),
        (["for=_hidden"], None),
        (["for=unknown"], None),
    ],
)
def test_forwarded_is_read_in_the_same_way_where_the_setting_names_it(said: list[str], client: str | None) -> None:
    assert found(RFC7239, "10.0.0.1", forwarded_for(*said, name=b"forwarded")) == client


def test_only_the_header_that_the_setting_names_counts() -> None:
    assert found(BEHIND, "10.0.0.1", forwarded_for(f"for={CLIENT}", name=b"forwarded")) == "10.0.0.1"
    assert found(RFC7239, "10.0.0.1", forwarded_for(CLIENT)) == "10.0.0.1"
    assert found(BEHIND, "10.0.0.1", forwarded_for(CLIENT, name=b"x-real-ip")) == "10.0.0.1"


def test_a_socket_of_both_families_shows_ipv4_as_ipv4() -> None:
    assert found(DIRECT, "::ffff:198.51.100.7", []) == OUTSIDE
    assert found(BEHIND, "::ffff:10.0.0.1", forwarded_for(CLIENT)) == CLIENT


def test_an_unknown_address_lies_in_no_network() -> None:
    everything = parse_networks(["0.0.0.0/0", "::/0"])
    assert within(ip_address(CLIENT), everything)
    assert not within(None, everything)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("192.0.2.1/24", "write 192.0.2.0/24"),
        ("::ffff:192.0.2.0/120", "write it as IPv4"),
        ("fe80::1%eth0", "leave it out"),
        ("example.com", "neither an address nor a network"),
        ("", "neither"),
        ("10.0.0.0/33", "neither"),
    ],
)
def test_a_network_that_is_none_is_refused_with_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_networks([text])
