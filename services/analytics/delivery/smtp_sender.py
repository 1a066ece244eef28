"""Hands mail over to an SMTP server, bounded in time."""

import asyncio
import os
import socket
import ssl

import aiosmtplib

from services.analytics.delivery.destinations import is_refused
from services.analytics.delivery.outcome import GivenUp, Later, Outcome, Sent
from services.analytics.delivery.outgoing import Mail
from services.analytics.delivery.wording import clean


class SmtpSender:
    """One connection for each mail: they are few."""

    def __init__(self, *, timeout_s: float, tls: ssl.SSLContext | None = None) -> None:
        self._timeout_s = timeout_s
        self._tls = tls

    async def send(self, mail: Mail) -> Outcome:
        """Hand it over; what became of it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._handed_over(mail)
        except TimeoutError:
            return Later(f"no reply within {self._timeout_s:g} s")
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(max(refusal.code for refusal in error.recipients), "it refuses every recipient")
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code, clean(str(error.message)))
        except aiosmtplib.SMTPException as error:
            return Later(f"no mail was handed over: {clean(str(error))}")
        except OSError as error:
            return Later(
                f"no connection: {os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__}"
            )

    async def _handed_over(self, mail: Mail) -> Outcome:
        if await self._leads_astray(mail):
            return GivenUp("it lives at an address that nothing is sent to")
        return _accepted(await self._hand_over(mail))

    async def _leads_astray(self, mail: Mail) -> bool:
        found = await asyncio.get_running_loop().getaddrinfo(mail.host, mail.port, type=socket.SOCK_STREAM)
        return any(is_refused(str(address[0])) for *_, address in found)

    async def _hand_over(self, mail: Mail) -> dict[str, aiosmtplib.SMTPResponse]:
        refused, _ = await aiosmtplib.send(
            mail.message,
            hostname=mail.host,
            port=mail.port,
            username=mail.username,
            password=mail.password,
            use_tls=mail.security == "tls",
            start_tls=mail.security == "starttls",
            tls_context=self._tls if mail.security != "none" else None,
            timeout=self._timeout_s,
        )
        return refused


def _accepted(refused: dict[str, aiosmtplib.SMTPResponse]) -> Outcome:
    """Somebody has it; who was refused is remembered."""
    names = ", ".join(sorted(refused))
    return Sent(250, f"refused for {clean(names)}" if names else None)


def _refused(code: int, said: str) -> Outcome:
    reason = f"SMTP {code}: {said}"
    return GivenUp(reason, code) if 500 <= code < 600 else Later(reason, code)
