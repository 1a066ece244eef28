"""What the calls about users, roles and access tokens take and give."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.access import Grant, Role
from schemas.plain_text import plain_text
from services.edge.admin_models import Because, Name, Time

UserName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(plain_text)]


class GrantBody(Grant):
    """A role to give: `owner`, `billing` and `member` in an account, `operator` and `on-call` in the installation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UserBody(BaseModel):
    """A new user. Only an operator makes one without a role."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: UserName
    grants: Annotated[list[GrantBody], Field(max_length=32)] = []


class UserPatch(Because):
    """Another name."""

    name: UserName


class AccessTokenBody(BaseModel):
    """A new access token. `expires_at` is an instant or a duration from now; null: never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    expires_at: Time | None = None


class GivenRole(BaseModel):
    """A role that a user has. `account_id` null: in the whole installation."""

    object: Literal["grant"] = "grant"
    grant_id: str
    user_id: str
    role: Role
    account_id: str | None
    given_by: str
    given_at: datetime


class User(BaseModel):
    """A user with the roles that the caller may know of."""

    object: Literal["user"] = "user"
    user_id: str
    name: str
    active: bool
    deactivated_by_operator: bool
    created_at: datetime
    updated_at: datetime
    grants: list[GivenRole]


class AccessToken(BaseModel):
    """An access token without its secret. `last_used_on` is a day in UTC."""

    object: Literal["access_token"] = "access_token"
    token_id: str
    user_id: str
    name: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_on: date | None


class CreatedAccessToken(AccessToken):
    """A new access token. `access_token` is what to present, shown this once."""

    access_token: str


class Me(BaseModel):
    """Who calls. `root` says that it was the installation's admin token, which is no user's and may do everything."""

    object: Literal["me"] = "me"
    user_id: str
    name: str
    root: bool
    grants: list[Grant]
    token_id: str | None
    expires_at: datetime | None
