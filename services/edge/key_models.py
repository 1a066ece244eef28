"""What the calls take and give that change how an account, a project or a key is used: names, times, places, pace."""

from typing import Annotated

from pydantic import Field, model_validator

from services.edge.admin_models import AllowedIps, Because, Key, Name, PerMinute, Time

Duration = Annotated[str, Field(min_length=1, max_length=20, examples=["24h", "0s"])]


class EntityPatch(Because):
    """What is to change of an account or a project; what is left out stays, null takes a limit away."""

    name: Name | None = None
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None

    @model_validator(mode="after")
    def _something(self) -> "EntityPatch":
        if not self.model_fields_set - set(Because.model_fields):
            raise ValueError("names nothing to change")
        for field in ("name", "environment"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} cannot be taken away")
        return self


class KeyPatch(EntityPatch):
    """The same for a key. `expires_at` is an instant or a duration from now; null: never. `allowed_ips` null: from anywhere."""

    environment: Name | None = None
    expires_at: Time | None = None
    allowed_ips: AllowedIps | None = None


class Rotation(Because):
    """Another secret for a key. The former one works for `overlap` more."""

    overlap: Duration = "24h"


class RotatedKey(Key):
    """A key with its new secret: `api_key` is the token, shown this once."""

    api_key: str
