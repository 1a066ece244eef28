"""Whatever a name resolves to, no connection is made to an address that no key may be sent to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.router.destinations import CheckingResolver, DestinationRefusedError, Destinations
from services.router.transport import PoolLimits, build_transport, read_bounded, timeouts
from services.router.upstream import error_class_of

POOL = PoolLimits(connections=8, per_host=0, connect_s=2, wait_s=4)
STRICT, LENIENT = Destinations(allow_private=False), Destinations(allow_private=True)


class Names(AbstractResolver):
    """Answers as the test says: for each question the next answer, the last one for ever."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self._answers = [list(answer) for answer in answers]
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host, host=each, port=port, family=socket.AF_INET6 if ":" in each else socket.AF_INET, proto=0, flags=0
            )
            for each in answer
        ]

    async def close(self) -> None:
        pass


REFUSED = (
    *("127.0.0.1", "10.1.2.3", "172.20.0.9", "192.168.0.1", "100.64.3.2", "169.254.169.254", "0.0.0.0", "168.63.129.16"),
    *("100.100.100.200", "224.0.0.1", "255.255.255.255", "198.18.0.7", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0"),
    *("fd00::8", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808"),
    *(
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2001:0:a9fe:a9fe::1",
        "::7f00:1",
        "2a00:1450:4001:81b::5efe:7f00:1",
        "2001:db8::1",
    ),
)


@pytest.mark.parametrize("address", REFUSED)
async def test_a_name_that_resolves_to_such_an_address_is_refused(address: str) -> None:
    resolver = CheckingResolver(Names([address]), STRICT)
    with pytest.raises(DestinationRefusedError, match="no key may be sent"):
        await resolver.resolve("api.example-ai.com", 443)


@pytest.mark.parametrize(
    "name", ["127.0.0.1.nip.io", "localtest.me", "lvh.me", "7f000001.rbndr.us", "spoofed.burpcollaborator.net"]
)
async def test_public_names_of_private_addresses_are_refused(name: str) -> None:
    with pytest.raises(DestinationRefusedError):
        await CheckingResolver(Names(["127.0.0.1"]), STRICT).resolve(name, 443)


async def test_one_bad_address_refuses_the_whole_answer() -> None:
    with pytest.raises(DestinationRefusedError):
        await CheckingResolver(Names(["8.8.8.8", "2606:4700::1111", "10.0.0.1"]), STRICT).resolve("api.example-ai.com", 443)


async def test_a_public_answer_is_handed_on_as_it_is_and_is_the_one_that_is_connected_to() -> None:
    names = Names(["8.8.8.8", "2606:4700::1111"], ["127.0.0.1"])
    resolver = CheckingResolver(names, STRICT)
    assert [each["host"] for each in await resolver.resolve("api.example-ai.com", 443)] == ["8.8.8.8", "2606:4700::1111"]
    with pytest.raises(DestinationRefusedError):
        await resolver.resolve("api.example-ai.com", 443)
    assert names.asked == 2


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "fe80::1", "64:ff9b::a9fe:a9fe", "100.100.100.200"])
async def test_settings_that_allow_private_hosts_never_allow_metadata(address: str) -> None:
    with pytest.raises(DestinationRefusedError):
        await CheckingResolver(Names([address]), LENIENT).resolve("llm.internal", 80)


async def test_a_name_of_the_own_network_must_not_lead_out_of_it() -> None:
    assert await CheckingResolver(Names(["10.0.0.7"]), LENIENT).resolve("provider", 80)
    with pytest.raises(DestinationRefusedError):
        await CheckingResolver(Names(["8.8.8.8"]), LENIENT).resolve("provider", 80)


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata.google.internal.", "metadata.goog"])
async def test_a_metadata_name_is_refused_whatever_it_resolves_to(name: str) -> None:
    with pytest.raises(DestinationRefusedError):
        await CheckingResolver(Names(["10.0.0.7"]), LENIENT).resolve(name, 80)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_no_socket_is_opened_to_an_address_that_needed_no_name(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(DestinationRefusedError):
        STRICT.open_socket((family, socket.SOCK_STREAM, 0, "", (address, 443)))


class Listener:
    """A server on this machine that counts its connections and answers what it is told."""

    def __init__(self, answer: bytes) -> None:
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(answer: bytes = b"", context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Listener, int]]:
    listener = Listener(answer)
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield listener, server.sockets[0].getsockname()[1]


async def asked(url: str, destinations: Destinations, names: AbstractResolver | None = None) -> httpx.Response:
    transport = build_transport(POOL, destinations, names)
    try:
        response: httpx.Response = await transport.handle_async_request(
            httpx.Request("POST", url, content=b"{}", extensions=timeouts(POOL, None))
        )
        await read_bounded(response, 1000)
        return response
    finally:
        await transport.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "rebound.example-ai.com"])
async def test_nothing_reaches_a_private_listener_by_address_or_by_name(host: str) -> None:
    async with listening() as (listener, port):
        with pytest.raises((httpx.HTTPError, aiohttp.ClientError, OSError)) as failed:
            await asked(f"http://{host}:{port}/v1", STRICT, Names(["127.0.0.1"]))
        assert listener.connections == 0
    assert error_class_of(failed.value) == "connection_failed"


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "localhost", "[::ffff:127.0.0.1]"]
)
async def test_no_other_spelling_reaches_it_past_the_rule_for_base_urls(host: str) -> None:
    async with listening() as (listener, port):
        with pytest.raises((httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError)):
            await asked(f"http://{host}:{port}/v1", STRICT)
        assert listener.connections == 0


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_a_redirect_is_an_answer_and_is_followed_nowhere(status: int) -> None:
    async with listening() as (target, target_port):
        moved = f"HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{target_port}/\r\ncontent-length: 0\r\n\r\n"
        async with listening(moved.encode()) as (first, port):
            response = await asked(f"http://127.0.0.1:{port}/v1", LENIENT)
        assert (response.status_code, first.connections, target.connections) == (status, 1, 0)


async def test_the_environment_s_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (proxy, proxy_port), listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (direct, port):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        response = await asked(f"http://127.0.0.1:{port}/v1", LENIENT)
        assert (response.status_code, direct.connections, proxy.connections) == (200, 1, 0)


async def test_the_certificate_is_still_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = _contexts(tmp_path, "api.example-ai.com")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", client)
    async with listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", server) as (_, port):
        response = await asked(f"https://api.example-ai.com:{port}/v1", LENIENT, Names(["127.0.0.1"]))
        assert response.status_code == 200
        with pytest.raises((httpx.HTTPError, aiohttp.ClientError)) as failed:
            await asked(f"https://api.example-ai.org:{port}/v1", LENIENT, Names(["127.0.0.1"]))
    assert "hostname mismatch" in f"{failed.value!r} {failed.value.__cause__!r}".lower()


def _contexts(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for the name, and a client that trusts its maker."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = datetime.now(UTC)
    certificate: Any = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context, ssl.create_default_context(cafile=str(directory / "server.pem"))
