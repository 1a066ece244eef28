"""Puts together what the flags, the environment, a profile and a running stack say, into what commands are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from services.console.addresses import Addresses, Given
from services.console.errors import BadFileError
from services.console.pending import Pending
from services.console.profiles import STACK, Profiles, read_profiles
from services.console.service_client import ServiceClient
from services.console.session import Session
from services.console.stack_file import read_stack, stack_file
from services.console.terminal import Terminal

PROFILES = "profiles.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where addresses come from when the caller gives none: the words of a stack's file, and how to call them in a message."""

    stack: Mapping[str, Any]
    named: str
    account: str | None = None
    own_key: str | None = None
    """How to call the API key, where it is not the stack's demo's."""


def config_dir(environ: Mapping[str, str]) -> Path:
    """Where profiles lie: the platform's place for a program's settings."""
    return Path(environ.get("TOLLBOOK_CONFIG_DIR") or typer.get_app_dir("tollbook"))


def session(given: Given, environ: Mapping[str, str], terminal: Terminal) -> Session:
    """The session of one command. Nothing is read before the command asks for it."""
    settings = config_dir(environ)

    def addresses(token: str | None) -> Addresses:
        source = find_source(given, environ, read_profiles(settings / PROFILES))
        return Addresses(urls=given.urls, token=token, stack=source.stack, stack_file=source.named)

    def customer(api_key: str | None) -> ServiceClient:
        address, whose = addresses(None).of_customer(api_key), None
        if api_key is None:
            source = find_source(given, environ, read_profiles(settings / PROFILES))
            whose = source.own_key or "the demo's key"
            terminal.progress(f"with {whose}")
        return ServiceClient("edge", address, asked_with=whose)

    def names() -> dict[str, str]:
        provider_url = find_source(given, environ, read_profiles(settings / PROFILES)).stack.get("provider_url")
        return {**({"TOLLBOOK_PROVIDER_URL": provider_url} if provider_url else {}), **environ}

    return Session(
        connect=lambda service: ServiceClient(service, addresses(given.token).of(service)),
        connect_customer=customer,
        terminal=terminal,
        names=names,
        variables=environ,
        account=lambda: (
            environ.get("TOLLBOOK_ACCOUNT") or find_source(given, environ, read_profiles(settings / PROFILES)).account
        ),
        pending=Pending(settings / "pending"),
        settings=settings / PROFILES,
        given=given,
    )


def find_source(given: Given, environ: Mapping[str, str], profiles: Profiles) -> Source:
    """The profile that was asked for, else the stack that was, else the current profile, else the running stack.

    A profile never mixes with another stack's addresses: a name looked up in one installation must not move money in another.
    """
    name = chosen_profile(given, environ, profiles)
    if name is None:
        file = given.stack or stack_file(environ)
        return Source(stack=read_stack(file), named=str(file))
    profile = profiles.of(name)
    own = read_stack(Path(profile.stack)) if profile.stack else {}
    own_key = f"the key of the profile {name}" if profile.api_key else None
    return Source(stack=profile.as_stack(own), named=f"profile {name}", account=profile.account, own_key=own_key)


def chosen_profile(given: Given, environ: Mapping[str, str], profiles: Profiles) -> str | None:
    """The profile that counts for this command, None for a stack's own file. Raises BadFileError where two were asked for."""
    if given.profile and given.stack:
        raise BadFileError("--profile and --stack both say where the services are: give one of them")
    if given.profile:
        return None if given.profile == STACK else given.profile
    if given.stack or environ.get("TOLLBOOK_HOME"):
        return None
    return profiles.current
