"""Table and pages of codes agree, and each example of a page brings its code (style.md §3)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicante import load_policy, parse_policy
from replicante.codes import CODES, severity_of
from replicante.errors import PolicyError
from replicante.policy.checks.host import MachineMeans, machine_warnings
from replicante.policy.lint import lint

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/errors").glob("*.md"))

# All variables but `runtime`, which the page of P040 misses.
VARIABLES = {
    "workspace": "/home/ada/shop",
    "home": "/home/ada",
    "tmp": "/tmp",
    "cache": "/agent/cache",
    "agent": "coder",
    "run": "run-1",
    "user": "ada",
}
SMALL_MACHINE = MachineMeans(memory_bytes=1 << 30, cpu_thousandths=1000, has_commit_gate=True)

# What loading says nothing of, but `policy lint`.
OF_LINT = frozenset({"W120", "W121", "W125", "W126"})


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


def example(page: Path, language: str) -> str | None:
    pattern = rf"^## Example\n\n```{language}\n(.*?)^```$"
    found = re.search(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return None if found is None else found.group(1)


def codes_of_policy(text: str) -> list[str]:
    try:
        policy = parse_policy(text, filename="example.policy", variables=VARIABLES)
    except PolicyError as error:
        return [diagnostic.code for diagnostic in error.diagnostics]
    return [warning.code for warning in (*lint(policy), *machine_warnings(policy, SMALL_MACHINE))]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if example(page, "policy")], ids=lambda page: page.stem
)
def test_the_example_of_a_page_brings_its_code_alone(page: Path) -> None:
    codes = codes_of_policy(example(page, "policy") or "")
    of_lint = OF_LINT - {page.stem}
    assert set(codes) - of_lint == {page.stem}
    if page.stem in OF_LINT:
        assert set(codes) == {page.stem}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if example(page, "toml")], ids=lambda page: page.stem
)
def test_the_settings_of_a_page_bring_its_code(page: Path, tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text(example(page, "toml") or "", encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(file)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {page.stem}


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    sources = [*(ROOT / "python/replicante").rglob("*.py"), *(ROOT / "rust").rglob("*.rs")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources if path.name != "codes.py")
    raised = set(re.findall(r"\b([PWL]\d{3})\b", text))
    assert CODES.keys() == raised


@pytest.mark.parametrize("name", ["test_parse_errors", "test_semantic_diagnostics"])
def test_every_snapshot_of_findings_is_of_a_code_of_the_table(name: str) -> None:
    text = (ROOT / f"tests/snapshots/{name}.ambr").read_text(encoding="utf-8")
    shown = set(re.findall(r"\[([PWL]\d{3})\]", text))
    assert shown
    assert shown <= CODES.keys()
