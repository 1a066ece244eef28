"""What is measured: connections by plain or streaming, with bodies shaped like real traffic."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

MODEL = "gpt-4o-mini"
PROMPT_CHARS = 1_000
OUTPUT_TOKENS = (100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the table. `chunk_ms` paces a stream as a model would; 0 sends it at once."""

    connections: int
    stream: bool
    chunk_ms: int = 0

    @property
    def name(self) -> str:
        """As the table names it."""
        kind = "paced" if self.chunk_ms else "stream" if self.stream else "plain"
        return f"{kind}-{self.connections}"


CELLS = (Cell(1, stream=False), Cell(32, stream=False), Cell(1, stream=True), Cell(32, stream=True))
PACED = Cell(32, stream=True, chunk_ms=10)


def bodies(cell: Cell) -> list[str]:
    """The request bodies of a cell: about 1 kB of prompt, 100 to 200 output tokens, as the official client sends them."""
    return [_body(cell, tokens) for tokens in OUTPUT_TOKENS]


def _body(cell: Cell, output_tokens: int) -> str:
    sentence = f"Summarise the incident report number {output_tokens} for the on-call engineer, with times and owners. "
    prompt = (sentence * (PROMPT_CHARS // len(sentence) + 1))[:PROMPT_CHARS]
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a careful assistant."},
            {"role": "user", "content": prompt},
        ],
        "temperature": 0.2,
        "max_tokens": output_tokens,
        # The simulator writes this much. A gateway that drops metadata gets as much by the cap: see peers.py.
        "metadata": {"sim_output_tokens": str(output_tokens)},
    }
    if cell.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if cell.chunk_ms:
        body["metadata"] = {"sim_output_tokens": str(output_tokens), "sim_chunk_ms": str(cell.chunk_ms)}
    return orjson.dumps(body).decode()
