"""Who may do what: roles, permissions, the one table between them, and what edge answers when it is asked who a token is.

A grant gives a user one role, for one account or for the whole installation. Every admin call of every service needs one
permission; :meth:`Principal.verdict` says what the call is answered with.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from schemas.envelope import Contract, Identifier, UtcDatetime

AccountRole = Literal["owner", "billing", "member"]
InstallationRole = Literal["operator", "on-call"]
Role = Literal["operator", "on-call", "owner", "billing", "member"]
Permission = Literal[
    "account.read",
    "account.create",
    "account.write",
    "project.read",
    "project.write",
    "key.read",
    "key.write",
    "freeze",
    "user.read",
    "user.write",
    "budget.read",
    "budget.write",
    "money.write",
    "usage.read",
    "alert.write",
    "rule.read",
    "rule.write",
    "audit.read",
    "price.read",
    "price.write",
    "route.read",
    "route.write",
    "channel.freeze",
    "ledger.read",
    "ledger.write",
    "secret.write",
]
ACCOUNT_ROLES: Final = frozenset(get_args(AccountRole))
INSTALLATION_ROLES: Final = frozenset(get_args(InstallationRole))
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_READ_ACCOUNT: Final[frozenset[Permission]] = frozenset(
    ("account.read", "project.read", "key.read", "user.read", "budget.read", "usage.read")
)
PERMISSIONS_OF: Final[dict[Role, frozenset[Permission]]] = {
    "operator": frozenset(PERMISSIONS),
    "on-call": _READ_ACCOUNT
    | {
        "freeze",
        "alert.write",
        "audit.read",
        "price.read",
        "route.read",
        "rule.read",
        "channel.freeze",
        "ledger.read",
        "ledger.write",
    },
    "owner": _READ_ACCOUNT
    | {"account.write", "project.write", "key.write", "freeze", "alert.write", "user.write", "budget.write", "audit.read"},
    "billing": _READ_ACCOUNT | {"budget.write"},
    "member": _READ_ACCOUNT | {"key.write"},
}
"""The table. An account's role counts in its account alone."""

PERMISSION_FIELD: Final = "x-tollbook-permission"
"""Member of every operation in OpenAPI: the permission that it needs, or `ANY_TOKEN`."""
ANY_TOKEN: Final = "any"  # noqa: S105 (a word for a rule, no secret)
"""In place of a permission: a call about the caller's own user, or one that shows nothing of anybody."""
ROLE_NOT_ALLOWED: Final = "role_not_allowed"
IDENTITY_UNAVAILABLE: Final = "identity_unavailable"
INTROSPECTION_MEMORY_S: Final = 1.0
"""The longest that a service remembers what edge said of a token."""
_ACCESS_TOKEN: Final = re.compile(r"tbu-[0-9A-Za-z]{12}-[0-9A-Za-z]{49}")


class Everywhere(Enum):
    """The accounts of somebody who may do a thing in every account."""

    ALL = "all"


ALL: Final = Everywhere.ALL
Accounts = frozenset[str] | Literal[Everywhere.ALL]


class Verdict(Enum):
    """What a call is answered with: done; 404 in the words of an id that does not exist; 403 `role_not_allowed`."""

    ALLOWED = "allowed"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Grant(Contract):
    """A role in an account, or one of the installation (`account_id` None)."""

    role: Role
    account_id: Identifier | None = None

    @model_validator(mode="after")
    def _where_it_belongs(self) -> Self:
        if (self.role in ACCOUNT_ROLES) != (self.account_id is not None):
            needs = "an account_id" if self.role in ACCOUNT_ROLES else "no account_id: it counts in the whole installation"
            raise ValueError(f"the role {self.role} takes {needs}")
        return self

    def allows(self, permission: Permission, account_id: str | None) -> bool:
        """Whether the role has the permission, there where it counts."""
        return permission in PERMISSIONS_OF[self.role] and self.account_id in (None, account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls. `root` is the installation's admin token, which may do everything."""

    user_id: str
    name: str
    grants: tuple[Grant, ...] = ()
    root: bool = False

    @property
    def author(self) -> str:
        """The user as changes record who made them: the id, with the name for display; at most 128 characters."""
        return f"{self.user_id} ({self.name})"[:128]

    @property
    def of_installation(self) -> bool:
        """Whether this one has a role of the installation, and so knows of every account."""
        return self.root or any(grant.account_id is None for grant in self.grants)

    def knows(self, account_id: str) -> bool:
        """Whether this one may learn that the account exists."""
        return self.of_installation or any(grant.account_id == account_id for grant in self.grants)

    def may(self, permission: Permission, account_id: str | None) -> bool:
        """Whether this one may do it in the account; None asks for the installation as a whole."""
        return self.root or any(grant.allows(permission, account_id) for grant in self.grants)

    def accounts_with(self, permission: Permission) -> Accounts:
        """The accounts in which this one may do it: what a list is narrowed to."""
        if self.may(permission, None):
            return ALL
        allowed = (grant.account_id for grant in self.grants if grant.account_id and grant.allows(permission, grant.account_id))
        return frozenset(allowed)

    def verdict(self, permission: Permission, account_id: str | None) -> Verdict:
        """What a call is answered with that is about an account or an entity of it, or (None) about the installation."""
        if self.may(permission, account_id):
            return Verdict.ALLOWED
        return Verdict.REFUSED if account_id is None or self.knows(account_id) else Verdict.UNKNOWN

    def may_give(self, grant: Grant) -> bool:
        """Whether this one may give or take the role: nobody gives one that is wider than what they may do themselves."""
        where = grant.account_id
        return self.may("user.write", where) and all(self.may(each, where) for each in PERMISSIONS_OF[grant.role])


ROOT: Final = Principal(user_id="root", name="admin", root=True)


class IntrospectionAsk(Contract):
    """Body of edge's `POST /internal/introspect`: whose token is this?"""

    token: Annotated[str, Field(max_length=256)]


class Introspection(Contract):
    """Edge's answer. Where the token is not `active` (unknown, expired, revoked, its user ended) nothing else is said."""

    active: bool
    user_id: Identifier | None = None
    name: str | None = None
    grants: list[Grant] = Field(default_factory=list)
    expires_at: UtcDatetime | None = None

    def principal(self) -> Principal | None:
        """Who it is, None where the token is worth nothing."""
        if not self.active or self.user_id is None:
            return None
        return Principal(user_id=self.user_id, name=self.name or self.user_id, grants=tuple(self.grants))


def is_access_token(text: str) -> bool:
    """Whether it has a token's form. Only then edge need be asked about it."""
    return _ACCESS_TOKEN.fullmatch(text) is not None


def roles_with(permission: Permission) -> list[Role]:
    """The roles that have the permission, the widest first."""
    return [role for role in PERMISSIONS_OF if permission in PERMISSIONS_OF[role]]


def refusal(permission: Permission) -> str:
    """What 403 `role_not_allowed` says."""
    roles = roles_with(permission)
    listed = roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} or {roles[-1]}"
    return f"This call needs the permission {permission}, which your roles here do not have: ask for the role {listed}."
