"""Mail arrives at a real SMTP server, encrypted and authenticated as the rule file says, and its refusals are understood."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import TypeAdapter

from deploy.local.ports import free_port
from schemas.alert_receivers import Receiver
from services.analytics.delivery.mail import mail
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.outgoing import Mail
from services.analytics.delivery.smtp_sender import SmtpSender
from tests.integration.analytics.delivery.rig import until
from tests.unit.analytics.notices import AT, item

ADAPTER: TypeAdapter[Receiver] = TypeAdapter(Receiver)
PASSWORD = "the-password-of-the-mailbox"


@dataclass
class Mailbox:
    """What the server does with mail: keeps it, or replies as told."""

    got: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    reply: str = "250 OK"
    refused: set[str] = field(default_factory=set)
    open: set[Any] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """One recipient."""
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The mail itself."""
        if self.reply.startswith("250"):
            assert server.transport is not None
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
            content = envelope.content
            assert isinstance(content, bytes)
            self.got.append(message_from_bytes(content, EmailMessage, policy=policy.default))
        return self.reply


@dataclass
class Post:
    """The server's three doors: plain, STARTTLS with a login, TLS from the first byte."""

    mailbox: Mailbox
    authority: trustme.CA
    ports: dict[str, int]

    def trust(self) -> ssl.SSLContext:
        """Trusts the server's authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def send(self, security: str, tls: ssl.SSLContext | None = None, **changed: Any) -> Outcome:
        """Send one mail."""
        fields: dict[str, Any] = {
            "kind": "email",
            "host": "localhost",
            "port": self.ports[security],
            "security": security,
            "from": "tollbook@example.com",
            "to": ["ops@example.com"],
        }
        receiver: Any = ADAPTER.validate_python(fields | changed)
        message = mail([item()], receiver, PASSWORD if receiver.username else None, AT)
        return await SmtpSender(timeout_s=20, tls=tls or self.trust()).send(message)


def _authenticated(_: SMTP, __: Session, ___: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"tollbook", PASSWORD.encode())
    return AuthResult(success=right, handled=right)


class Connection(SMTP):
    """One connection; the mailbox knows which are open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Once, and once more after STARTTLS."""
        self.event_handler.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        super().connection_lost(error)
        self.event_handler.open.discard(self)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    """A mail server in the test's own loop, which ends when its connections have."""
    authority, offered = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(offered)
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    login: dict[str, Any] = {"authenticator": _authenticated, "auth_required": True, "require_starttls": True}
    doors = {
        "none": await loop.create_server(lambda: Connection(mailbox), "127.0.0.1", 0),
        "starttls": await loop.create_server(lambda: Connection(mailbox, tls_context=offered, **login), "127.0.0.1", 0),
        "tls": await loop.create_server(lambda: Connection(mailbox), "127.0.0.1", 0, ssl=offered),
    }
    yield Post(mailbox, authority, {name: door.sockets[0].getsockname()[1] for name, door in doors.items()})
    await until(lambda: not mailbox.open, "every connection is over")
    for door in doors.values():
        door.close()
        await door.wait_closed()


async def test_mail_is_sent_over_starttls_with_a_login(post: Post) -> None:
    outcome = await post.send("starttls", username="tollbook", password="${env:SMTP_PASSWORD}")
    assert outcome == Sent(250)
    (message,) = post.mailbox.got
    assert post.mailbox.encrypted == [True]
    assert message["Subject"].startswith("[Tollbook] FIRING runaway-key")
    assert message["To"] == "ops@example.com"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "tollbook alerts ack alr_1" in plain.get_content()
    assert "tollbook alerts ack alr_1" in html.get_content()


async def test_mail_is_sent_over_tls_from_the_first_byte(post: Post) -> None:
    assert await post.send("tls") == Sent(250)
    assert post.mailbox.encrypted == [True]


async def test_mail_is_sent_in_plain_only_where_the_file_says_so(post: Post) -> None:
    assert await post.send("none") == Sent(250)
    assert post.mailbox.encrypted == [False]


async def test_a_server_that_offers_no_starttls_gets_no_mail(post: Post) -> None:
    post.ports["starttls"] = post.ports["none"]
    assert isinstance(await post.send("starttls"), Later | GivenUp)
    assert post.mailbox.got == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(post: Post, security: str) -> None:
    assert isinstance(await post.send(security, ssl.create_default_context()), Later)
    assert post.mailbox.got == []


async def test_a_wrong_password_is_given_up_and_not_repeated(post: Post) -> None:
    outcome = await post.send("starttls", username="somebody", password="${env:SMTP_PASSWORD}")
    assert isinstance(outcome, GivenUp)
    assert outcome.status == 535
    assert PASSWORD not in outcome.reason


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("450 mailbox is busy", Later("SMTP 450: mailbox is busy", 450)),
        ("552 too much mail", GivenUp("SMTP 552: too much mail", 552)),
    ],
)
async def test_a_refusal_is_tried_again_where_it_can_pass(post: Post, reply: str, expected: Outcome) -> None:
    post.mailbox.reply = reply
    assert await post.send("none") == expected


async def test_whoever_is_refused_is_remembered_and_the_others_have_it(post: Post) -> None:
    post.mailbox.refused = {"gone@example.com"}
    assert await post.send("none", to=["gone@example.com", "ops@example.com"]) == Sent(250, "refused for gone@example.com")
    assert await post.send("none", to=["gone@example.com"]) == GivenUp("SMTP 550: it refuses every recipient", 550)


async def test_a_mail_server_that_is_not_there_is_tried_again() -> None:
    receiver: Any = ADAPTER.validate_python(
        {"kind": "email", "host": "localhost", "port": free_port(), "from": "a@example.com", "to": "b@example.com"}
    )
    message = mail([item()], receiver, None, AT)
    assert isinstance(message, Mail)
    assert isinstance(await SmtpSender(timeout_s=20).send(message), Later)


async def test_no_mail_is_handed_over_where_a_cloud_hands_out_credentials() -> None:
    receiver: Any = ADAPTER.validate_python(
        {"kind": "email", "host": "169.254.169.254", "from": "a@example.com", "to": "b@example.com"}
    )
    outcome = await SmtpSender(timeout_s=20).send(mail([item()], receiver, None, AT))
    assert outcome == GivenUp("it lives at an address that nothing is sent to")
