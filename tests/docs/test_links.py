"""What pages point to is there."""

from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from tests.docs.pages import ROOT, DocsPage, blocks, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_its_heading(page: DocsPage) -> None:
    anchors = {one.name: one.anchors() for one in pages()}
    for link in page.links():
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        there = (ROOT / page.name).parent / path if path else ROOT / page.name
        assert there.exists(), link
        if fragment:
            assert fragment in anchors[str(there.resolve().relative_to(ROOT))], link


@pytest.mark.parametrize(
    "page", [one for one in pages() if "/decisions/" not in one.name], ids=lambda page: page.name
)
def test_every_source_file_that_is_named_is_there(page: DocsPage) -> None:
    ours = ("bridge/", "connectors/", "docs/", "docker/", "tests/", "benchmarks/", "schemas/")
    for said in page.inline():
        if said.startswith(ours) and " " not in said and "results/" not in said:
            assert Path(ROOT / said.split(":")[0]).exists(), said


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    seen, todo = set[str](), ["README.md"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for link in next(one for one in pages() if one.name == name).links():
            target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_relative_to(ROOT):
                todo.append(str(target.relative_to(ROOT)))
    assert {one.name for one in pages() if one.name.startswith("docs/")} - seen == set()


def test_every_make_target_that_is_named_exists() -> None:
    rules = (ROOT / "Makefile").read_text().splitlines()
    targets = {
        word
        for rule in rules
        if ":" in rule and not rule.startswith(("\t", "#", "."))
        for word in rule.partition(":")[0].split()
    }
    said = {
        line.split("make ", 1)[1].split()[0]
        for one in pages()
        for line in [*one.inline(), *"".join(b.text for b in blocks("sh")).splitlines()]
        if line.startswith("make ")
    }
    assert said
    assert said <= targets


def test_every_benchmark_is_in_the_table_of_benchmarks() -> None:
    text = next(one for one in pages() if one.name == "docs/benchmarks.md").prose
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert {f"`{name}`" for name in NAMES} <= set(rows)
