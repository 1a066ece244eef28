"""A refusal of a chat completion's parameter, in the words of the API that the client spoke. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from services.router.errors import UpstreamError


def renamed(failure: UpstreamError, names: Mapping[str, str]) -> UpstreamError:
    """The same failure with its parameter by the client's name: the longest name that its own begins with counts."""
    if not names or not failure.body:
        return failure
    document = orjson.loads(failure.body)
    error = document["error"]
    param = str(error.get("param") or "")
    ours = max((name for name in names if param == name or param.startswith(name + ".")), key=len, default=None)
    if ours is None:
        return failure
    theirs = names[ours]
    error["param"] = theirs if ours == "messages" else theirs + param[len(ours) :]
    error["message"] = str(error["message"]).replace(ours, theirs)
    failure.body = orjson.dumps(document)
    return failure
