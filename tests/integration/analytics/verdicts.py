"""What a detector says of a key, and telling analytics so."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson

from services.analytics.alerts.records import VERDICTS
from services.analytics.alerts.verdict import Verdict
from tests.integration.analytics.process import Analytics

THRESHOLD = 200_000


def of_key(key_id: str, observed: int, **words: Any) -> Verdict:
    """A verdict on the last minute of a key: above its threshold it exceeds, under four fifths of it it is calm."""
    now = datetime.now(UTC)
    said: dict[str, Any] = {
        "rule": "runaway-key",
        "signal": "tokens_per_minute_by_key",
        "subject_kind": "key",
        "subject_id": key_id,
        "account_id": "acc_0",
        "project_id": "prj_0",
        "exceeded": observed > THRESHOLD,
        "calm": observed * 10 < THRESHOLD * 8,
        "observed": observed,
        "threshold": THRESHOLD,
        "unit": "tokens/min",
        "window_start": now - timedelta(minutes=1),
        "window_end": now,
        "severity": "page",
        "keep_s": 0,
    }
    return Verdict(**(said | words))


def say(analytics: Analytics, *verdicts: Verdict, token: str | None = None) -> httpx.Response:
    """Tell analytics, as the meter does."""
    body = {
        "meter": "meter-of-tests",
        "sent_at": datetime.now(UTC),
        "signals": ["tokens_per_minute_by_key"],
        "verdicts": VERDICTS.dump_python(list(verdicts)),
    }
    headers = {"authorization": f"Bearer {token or analytics.environment['TOLLBOOK_ANALYTICS_TOKEN']}"}
    headers["content-type"] = "application/json"
    return httpx.post(f"{analytics.url}/internal/verdicts", content=orjson.dumps(body), headers=headers, timeout=60)
