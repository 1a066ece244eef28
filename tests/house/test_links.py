"""A link of the documentation leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.house.tracked import ROOT, files, text

LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
PAGES = [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    missing = [link for link in LINK.findall(text(page)) if not (ROOT / page.parent / link).exists()]
    assert missing == []
