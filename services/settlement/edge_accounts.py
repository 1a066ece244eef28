"""Whether there is an account: edge, which makes them, is asked where the control topic has not named it (yet)."""

import httpx
import structlog
from pydantic import ValidationError

from schemas.calls import AccountsFound
from services.settlement.errors import UnavailableError

log = structlog.get_logger(__name__)
TIMEOUT = httpx.Timeout(3, connect=1)


class EdgeAccounts:
    """Asks from threads, once for each question: nothing is remembered here."""

    def __init__(self, edge_url: str, service_token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=edge_url,
            headers={"authorization": f"Bearer {service_token}"},
            timeout=TIMEOUT,
            trust_env=False,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections to edge."""
        self._http.close()

    def exists(self, account_id: str) -> bool:
        """Whether edge has made it. Raises UnavailableError where edge does not say."""
        try:
            reply = self._http.get("/internal/accounts", params={"id": account_id})
            reply.raise_for_status()
            found = AccountsFound.model_validate_json(reply.content)
        except (httpx.HTTPError, ValidationError) as error:
            log.warning("account_unconfirmed", error=type(error).__name__, detail=str(error)[:200])
            raise UnavailableError(
                f"whether there is an account {account_id!r} cannot be told now, since edge does not answer: "
                "nothing was done, ask again under the same id",
                code="account_unconfirmed",
            ) from error
        return any(each.account_id == account_id for each in found.data)
