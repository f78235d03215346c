"""What pages point to is there."""

from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from tests.docs.pages import ROOT, DocsPage, blocks, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_its_heading(page: DocsPage) -> None:
    anchors = {each_page.name: each_page.anchors() for each_page in pages()}
    for link in page.links():
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (ROOT / page.name).parent / path if path else ROOT / page.name
        assert target.exists(), link
        if fragment:
            assert fragment in anchors[str(target.resolve().relative_to(ROOT))], link


@pytest.mark.parametrize(
    "page",
    [each_page for each_page in pages() if "/decisions/" not in each_page.name],
    ids=lambda page: page.name,
)
def test_every_source_file_that_is_named_is_there(page: DocsPage) -> None:
    ours = ("bridge/", "connectors/", "docs/", "docker/", "tests/", "benchmarks/", "schemas/")
    for code in page.inline():
        if code.startswith(ours) and " " not in code and "results/" not in code:
            assert Path(ROOT / code.split(":")[0]).exists(), code


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    seen, todo = set[str](), ["README.md"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for link in next(each_page for each_page in pages() if each_page.name == name).links():
            target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_relative_to(ROOT):
                todo.append(str(target.relative_to(ROOT)))
    assert {
        each_page.name for each_page in pages() if each_page.name.startswith("docs/")
    } - seen == set()


def test_every_make_target_that_is_named_exists() -> None:
    rules = (ROOT / "Makefile").read_text().splitlines()
    rule_names = {
        word
        for rule in rules
        if ":" in rule and not rule.startswith(("\t", "#", "."))
        for word in rule.partition(":")[0].split()
    }
    targets = {
        line.split("make ", 1)[1].split()[0]
        for each_page in pages()
        for line in [*each_page.inline(), *"".join(b.text for b in blocks("sh")).splitlines()]
        if line.startswith("make ")
    }
    assert targets
    assert targets <= rule_names


def test_every_benchmark_is_in_the_table_of_benchmarks() -> None:
    text = next(each_page for each_page in pages() if each_page.name == "docs/benchmarks.md").prose
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert {f"`{name}`" for name in NAMES} <= set(rows)
