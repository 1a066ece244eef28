"""The range and the filters that every report on usage takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from services.analytics.usage_api.question import Question, question

Text = Annotated[str | None, Query(max_length=256)]


@dataclass(kw_only=True)
class UsageFilters:
    """From when to when, and of what. The range is the last seven days where it is not said."""

    since: Annotated[
        str | None, Query(alias="from", max_length=64, description="A date, its midnight in the time zone, or an instant.")
    ] = None
    until: Annotated[str | None, Query(alias="to", max_length=64, description="Likewise, not included.")] = None
    timezone: Annotated[str, Query(max_length=256, description="In which days begin at midnight.")] = "UTC"
    project_id: Text = None
    key_id: Text = None
    run_id: Text = None
    model: Annotated[str | None, Query(max_length=256, description="As it was asked for.")] = None
    upstream_model: Text = None
    route_type: Text = None
    channel: Text = None
    bucket: Text = None
    tag: Annotated[list[str] | None, Query(description="A name, or name=value; all that are given have to be there.")] = None

    def asked(self, accounts: frozenset[str] | None, *, shows_channels: bool, by: str = "", interval: str = "none") -> Question:
        """What it asks about some accounts, or about all. Raises QueryRefusedError."""
        filters: Mapping[str, str | None] = {
            "project_id": self.project_id,
            "key_id": self.key_id,
            "run_id": self.run_id,
            "model": self.model,
            "upstream_model": self.upstream_model,
            "route_type": self.route_type,
            "channel": self.channel,
            "bucket": self.bucket,
        }
        span = (self.since, self.until, self.timezone)
        tags, now = self.tag or [], datetime.now(UTC)
        return question(*span, by, interval, filters, tags, now, shows_channels=shows_channels, accounts=accounts)
