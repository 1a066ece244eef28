"""Request sizes as they occur: the Azure LLM inference trace of 2023 (CC-BY) where it is at hand, else the same shape."""

import csv
from pathlib import Path

from deploy.local.traffic import Size, generated_sizes

TRACE_FILE = Path(__file__).parent.parent.parent / "shared" / "traces" / "azure_llm_2023_conv.csv"


def sizes(count: int) -> list[Size]:
    """`count` request sizes: spread over the trace, or generated with its median and tail."""
    if not TRACE_FILE.exists():
        return generated_sizes(count)
    with TRACE_FILE.open(newline="", encoding="utf-8") as lines:
        rows = [Size(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(lines)]
    spread = rows[:: max(1, len(rows) // count)]
    return (spread * (count // len(spread) + 1))[:count]
