"""What the batch worker can be told beyond router's own settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.router.settings import Settings


class BatchSettings(Settings):
    """Router's settings, and where files lie and how much is done at once. Times in seconds."""

    port: int = Field(default=8021, ge=0, le=65535)
    edge_url: str
    object_store_url: str = ""
    data_dir: Path = Path("data")
    batches_at_once: int = Field(default=4, ge=1, le=64)
    batch_lines_at_once: int = Field(default=16, ge=1, le=256)
    batch_lease_seconds: float = Field(default=20, ge=2, le=600)
    batch_line_deadline_seconds: float = Field(default=600, gt=0, le=86_400)

    def store_url(self) -> str:
        """Where files lie: a directory under the data directory unless it is said."""
        return self.object_store_url or f"file://{(self.data_dir / 'objects').absolute()}"
