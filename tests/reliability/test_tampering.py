"""A short run of tamperings, each sort of them by itself, and the untouched ledger."""

from tests.reliability.progress import Progress
from tests.reliability.receipt_bits import prove as prove_bits
from tests.reliability.tampering import prove

TAMPERINGS = 250
QUIET = Progress("tampering", TAMPERINGS, quiet=True)


def test_whatever_somebody_does_to_sealed_rows_is_found(database_url: str) -> None:
    report = prove(database_url, TAMPERINGS, progress=QUIET, seed=7, requests=30)
    assert report.missed == []
    assert report.false_alarms == []
    assert report.controls > 1
    kinds = {name.split()[0] for name in report.made}
    assert {"mutate", "delete", "swap", "insert", "truncate", "rewrite"} <= kinds


def test_no_flipped_bit_of_a_receipt_is_believed(database_url: str) -> None:
    report = prove_bits(database_url, 1, progress=QUIET)
    assert (report.believed, report.refused) == ([], [])
    assert report.bits > 10_000
