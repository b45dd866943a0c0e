"""Table and pages of codes agree, and each example of a page brings its code (style.md §3)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicante.codes import CODES, severity_of

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/errors").glob("*.md"))


def test_each_code_has_its_page() -> None:
    assert [page.stem for page in PAGES] == sorted(CODES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_the_table_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}: {CODES[page.stem]}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Why",
        "## Example",
        "## Fix",
    ]


def test_severity() -> None:
    assert severity_of("P001") == "error"
    assert severity_of("W110") == "warning"


def test_every_code_that_is_raised_is_in_the_table() -> None:
    raised = re.compile(r'"([PWL]\d{3})"')
    for path in (ROOT / "python").rglob("*.py"):
        assert set(raised.findall(path.read_text(encoding="utf-8"))) <= CODES.keys(), path
