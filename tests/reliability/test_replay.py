"""A short replay, and every way to move offsets about."""

from tests.reliability.ground import Ground
from tests.reliability.progress import Progress
from tests.reliability.replay import prove_offsets, prove_replay
from tests.reliability.tamperings import TAMPERINGS

EVENTS = 600
QUIET = Progress("replay", EVENTS, quiet=True)


def test_reading_everything_again_from_offset_0_posts_nothing(database_url: str, kafka_bootstrap_servers: str) -> None:
    report = prove_replay(Ground(database_url, kafka_bootstrap_servers), EVENTS, progress=QUIET)
    assert report.wrong == []
    assert report.rows["receipt"] == EVENTS


def test_offsets_that_somebody_moved_are_noticed_or_do_no_harm(database_url: str, kafka_bootstrap_servers: str) -> None:
    outcomes = prove_offsets(Ground(database_url, kafka_bootstrap_servers), progress=QUIET)
    assert {f"ledger: {each.name}": each.outcome for each in TAMPERINGS}.items() <= outcomes.items()
    assert outcomes["unread records removed from the topic"] == "halted"
    assert outcomes["the inbox emptied, and back"] == "flagged"
