"""Profiles: installations that were named once, in a file that only its owner reads."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.console.addresses import without_password
from services.console.errors import BadFileError, UnknownProfileError

STACK = "stack"
"""The name of no profile: the running stack of this checkout, as it is found without any."""
URLS = ("edge_url", "router_url", "settlement_url", "analytics_url")
_FIELDS = (*URLS, "stack", "token", "api_key", "account")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One installation. `stack` is a stack's own file, which names the addresses in place of the URLs here."""

    edge_url: str | None = None
    router_url: str | None = None
    settlement_url: str | None = None
    analytics_url: str | None = None
    stack: str | None = None
    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    account: str | None = None

    def as_stack(self, stack: Mapping[str, Any]) -> dict[str, Any]:
        """The profile in the words of a stack's file. What the profile says goes before what its own stack's file says."""
        named = {url: getattr(self, url) for url in URLS if getattr(self, url)}
        # Whoever logs out of a stack's profile is nobody afterwards, not the stack's operator: --stack is for that one.
        found: dict[str, Any] = {**{name: value for name, value in stack.items() if name != "admin_token"}, **named}
        if self.token:
            found["admin_token"] = self.token
        if self.api_key:
            found["demo"] = {"api_key": self.api_key}
        return found

    def shown(self) -> dict[str, Any]:
        """The profile as it may be printed: that there is a token, never which, and no password of a URL."""
        urls = {name: url and without_password(url) for name in URLS for url in [getattr(self, name)]}
        plain = {name: getattr(self, name) for name in ("stack", "account")}
        return {**urls, **plain, "has_token": self.token is not None, "has_api_key": self.api_key is not None}


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Everything in the file; `current` is used where a command names none."""

    current: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def of(self, name: str) -> Profile:
        """One profile. Raises UnknownProfileError."""
        if name not in self.by_name:
            raise UnknownProfileError(
                f"there is no profile {name!r}: `tollbook profile list` shows all, `tollbook profile add` makes one"
            )
        return self.by_name[name]

    def having(self, name: str, profile: Profile) -> "Profiles":
        """With the profile in place of whatever had its name."""
        return replace(self, by_name={**self.by_name, name: profile})

    def without(self, name: str) -> "Profiles":
        """Without the profile. Raises UnknownProfileError."""
        self.of(name)
        left = {each: profile for each, profile in self.by_name.items() if each != name}
        return Profiles(current=None if self.current == name else self.current, by_name=left)


def require_name(name: str) -> str:
    """The name itself. Raises BadFileError for one that a profile cannot have."""
    if name == STACK or not _NAME.fullmatch(name):
        raise BadFileError(
            f"{name!r} cannot be a profile's name: take letters, digits, dots and dashes, not {STACK!r}, the running one"
        )
    return name


def read_profiles(path: Path) -> Profiles:
    """What the file says; nothing where there is none. Raises BadFileError for one that others may read."""
    try:
        content = path.read_text("utf-8")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise BadFileError(f"{path} holds tokens and others may read it: run `chmod 600 {path}`")
        found = json.loads(content)
        return Profiles(current=found.get("current"), by_name={n: _profile(p) for n, p in found.get("profiles", {}).items()})
    except FileNotFoundError:
        return Profiles()
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadFileError(f"{path} cannot be read as profiles ({error}): mend it, or remove it and log in again") from error


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Replace the file as a whole, readable by its owner alone. Raises BadFileError."""
    document = {
        "current": profiles.current,
        "profiles": {
            name: {each: value for each in _FIELDS if (value := getattr(profile, each)) is not None}
            for name, profile in sorted(profiles.by_name.items())
        },
    }
    write_private(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_private(path: Path, content: str) -> None:
    """Replace a file as a whole with mode 0600. Raises BadFileError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise BadFileError(f"{path} cannot be written: {error.strerror}") from error


def _profile(said: Mapping[str, Any]) -> Profile:
    return Profile(**{name: said[name] for name in _FIELDS if isinstance(said.get(name), str)})
