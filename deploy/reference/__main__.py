"""`python -m deploy.reference`: write the API reference from the services of the running stack."""

import os
from pathlib import Path

from deploy.local.home import read_json
from deploy.reference.documents import pages

TARGET = Path(__file__).parents[2] / "docs" / "api"


def main() -> None:
    """Write every page."""
    home = Path(os.environ.get("TOLLBOOK_HOME", ".tollbook"))
    TARGET.mkdir(exist_ok=True)
    for name, text in pages(read_json(home / "stack.json")).items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    main()
