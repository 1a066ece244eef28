"""What a request is answered with, as one value: the composition root makes it, endpoint and batch worker share it."""

from __future__ import annotations

from typing import NamedTuple

from services.router.attempts import AttemptLoop
from services.router.funding import Funding
from services.router.ledger import Ledger
from services.router.planner import Planner
from services.router.publisher import Publisher
from services.router.upstream import Upstream


class Calling(NamedTuple):
    """What a request is answered with, whoever brings it: edge, or the batch worker."""

    planner: Planner
    funding: Funding
    attempts: AttemptLoop
    upstream: Upstream
    publisher: Publisher
    ledger: Ledger
