"""Where the services are and which token opens them: from flags, the environment, or a stack's own file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.errors import UnknownAddressError

SERVICES = ("edge", "router", "settlement", "analytics")


def without_password(url: str) -> str:
    """The URL as it may be printed, also where its scheme was forgotten."""
    return re.sub(r"^([^/@]*//)?.*@", r"\1***@", url)


@dataclass(frozen=True, kw_only=True)
class Address:
    """One service's base URL and the token for it: a user's access token, or the installation's own."""

    url: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller said, by flags or variables."""

    urls: Mapping[str, str | None]
    token: str | None = field(default=None, repr=False)
    stack: Path | None = None
    profile: str | None = None


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """What the caller said (flags and environment) and what the stack's file says; the caller wins, value by value."""

    urls: Mapping[str, str | None]
    token: str | None
    stack: Mapping[str, Any] = field(default_factory=dict)
    stack_file: str = "stack.json"

    def of(self, service: str) -> Address:
        """The service's address. The stack's token goes to the stack's own URLs only.

        Raises UnknownAddressError when nobody named the URL or the token.
        """
        given, own = self.urls.get(service), self.stack.get(f"{service}_url")
        url = given or own
        if not url:
            raise UnknownAddressError(
                f"nobody said where {service} is",
                f"start the stack with `make up` ({self.stack_file} does not name it), or give --{service}-url or "
                f"TOLLBOOK_{service.upper()}_URL, or name it in a profile (`tollbook profile add`)",
            )
        token = self.token or (self.stack.get("admin_token") if url == own else None)
        if not token:
            raise UnknownAddressError(
                f"{service} at {without_password(url)} wants a token",
                "log in (`tollbook login`), give --token, or set TOLLBOOK_TOKEN or TOLLBOOK_ADMIN_TOKEN",
            )
        return Address(url=url.rstrip("/"), token=token)

    def of_customer(self, api_key: str | None) -> Address:
        """Edge's address for a customer with this API key; without one the demo's key, for the stack's own edge only.

        Raises UnknownAddressError when nobody named the URL or the key.
        """
        given, own = self.urls.get("edge"), self.stack.get("edge_url")
        url = given or own
        if not url:
            raise UnknownAddressError(
                "nobody said where edge is",
                f"start the stack with `make up` ({self.stack_file} does not name it), or give --edge-url or TOLLBOOK_EDGE_URL",
            )
        demo = self.stack.get("demo") or {}
        key = api_key or (demo.get("api_key") if url == own else None)
        if not key:
            raise UnknownAddressError(
                f"edge at {without_password(url)} wants an API key", "give --api-key or set TOLLBOOK_API_KEY"
            )
        return Address(url=url.rstrip("/"), token=key)
