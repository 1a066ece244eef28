"""Every bit of signed receipts flipped, one at a time: `python -m tests.reliability.receipt_bits --receipts 20`.

A receipt of each kind (charged, refused a charge, expired, refunded, paid by a run…) is taken from a sealed ledger. Ends with 1
where a file with a flipped bit was believed, or the untouched file was not.
"""

import argparse
import sys
from dataclasses import dataclass, field

from services.console.receipt_check import check_receipt
from services.settlement.signed_receipt import ReceiptSigner
from tests.integration.settlement.ledger import running_ledger
from tests.integration.settlement.sealing import KEY, KEYS
from tests.reliability.ground import ground
from tests.reliability.progress import Progress
from tests.reliability.tampering import fill

REQUESTS = "select request_id, min(holder) as holder from hold where state <> 'HELD' group by 1 order by 1 limit %s"


@dataclass(slots=True)
class Report:
    """How many bits were flipped in how many files, and which of them were believed."""

    files: int = 0
    bits: int = 0
    believed: list[tuple[str, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.believed)} BELIEVED: {self.believed[:3]}" if self.believed else "every one caught"
        whole = f"{len(self.refused)} NOT BELIEVED: {self.refused[:3]}" if self.refused else "valid"
        return f"{self.bits:,} bits flipped in {self.files} signed receipts: {verdict}; the untouched receipts: {whole}"


def prove(database_url: str, receipts: int, *, progress: Progress) -> Report:
    """Flip every bit of so many receipts of an empty database's ledger, once it is full."""
    report = Report()
    with running_ledger(database_url) as ledger:
        fill(ledger, receipts)
        signer = ReceiptSigner(KEY, ledger.books)
        for row in ledger.rows(REQUESTS, receipts):
            _flip(signer.signed(ledger.connection, row["holder"], row["request_id"]), str(row["request_id"]), report, progress)
    return report


def _flip(file: bytes, name: str, report: Report, progress: Progress) -> None:
    if check_receipt(file, KEYS).outcome not in {"valid", "signature_only"}:
        report.refused.append(name)
    bent = bytearray(file)
    for bit in range(8 * len(file)):
        bent[bit // 8] ^= 1 << bit % 8
        if check_receipt(bytes(bent), KEYS).outcome != "invalid":
            report.believed.append((name, bit))
        bent[bit // 8] ^= 1 << bit % 8
        progress.at(report.files, f"receipts, {report.bits + bit:,} bits")
    report.files += 1
    report.bits += 8 * len(file)


def main() -> int:
    """Run on an engine of its own and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=20)
    receipts = parser.parse_args().receipts
    with ground(kafka=False) as on:
        report = prove(on.database_url, receipts, progress=Progress("bits", receipts))
    print(report)
    return 1 if report.believed or report.refused else 0


if __name__ == "__main__":
    sys.exit(main())
