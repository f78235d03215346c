"""The site has every page, and its reference pages have all that the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from bridge.config.models import BridgeModel, SystemModel
from tests.conventions.sources import product_modules
from tests.docs.pages import ROOT, pages
from tests.docs.site.built_pages import loaded_from_elsewhere, unrecognised_markdown
from tests.docs.site.dialect import to_python_markdown
from tests.docs.site.field_lists import field_lists, with_types
from tests.docs.site.layout import lay_out, reference_pages
from tests.docs.site.reference.commands import commands
from tests.docs.site.reference.configuration import CONNECTORS, keys
from tests.docs.test_metrics import documented
from tests.docs.test_options import fields

_NAV_ENTRY = re.compile(r"^ +- (?:.+: )?(\S+\.md)$", re.MULTILINE)


def in_navigation() -> list[str]:
    """The pages that mkdocs.yml lists, in its order."""
    return _NAV_ENTRY.findall((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def reference(name: str) -> str:
    return reference_pages()[f"docs/reference/{name}.md"]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = in_navigation()
    assert sorted(listed) == sorted([*(page.name for page in pages()), *reference_pages()])


def test_every_decision_has_its_title_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    table = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for title, file in re.findall(r"^\| \[(.+?)\]\((.+?)\)", table, re.MULTILINE):
        assert f"- {title}: docs/decisions/{file}\n" in text


def test_every_command_has_a_section_with_its_options() -> None:
    text = reference("commands")
    for path, command in commands():
        _, heading, rest = text.partition(f"# {path}\n")
        assert heading, path
        section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
        for option in (option for param in command.params for option in param.opts):
            if option.startswith("--"):
                assert option in section, f"{path} {option}"


@pytest.mark.parametrize(
    "model", [BridgeModel, SystemModel, *(kind.options for kind in CONNECTORS.values())]
)
def test_every_configuration_key_is_in_the_reference(model: type) -> None:
    last_parts = set(
        re.findall(r"^\| `(?:\S+\.)?(\w+)` ", reference("configuration"), re.MULTILINE)
    )
    assert {name for name, _ in fields(model)} <= last_parts


@pytest.mark.parametrize(
    "model", [BridgeModel, SystemModel, *(kind.options for kind in CONNECTORS.values())]
)
def test_every_configuration_key_says_what_it_means(model: type[BaseModel]) -> None:
    assert [key.path for key in keys(model) if not key.description] == []


def test_every_metric_is_in_the_reference_with_its_labels() -> None:
    rows = re.findall(r"^\| `(bridge_\w+)` \| \w+ \| (.*?) \|", reference("metrics"), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == documented()


def on_api_pages() -> set[str]:
    """The modules that the API pages show."""
    return {
        module
        for page in pages()
        if page.name.startswith("docs/api/")
        for module in re.findall(r"^::: ([\w.]+)$", page.text, re.MULTILINE)
    }


def test_every_module_of_the_api_pages_is_there() -> None:
    assert on_api_pages() <= product_modules().keys()


@pytest.mark.parametrize("package", ["bridge.log.port", "bridge.connector", "bridge.ports"])
def test_every_module_of_a_port_is_on_a_page(package: str) -> None:
    modules = {module for module in product_modules() if module.startswith(f"{package}.")}
    assert modules
    assert modules <= on_api_pages()


def test_pages_are_laid_out_with_the_files_to_which_they_link(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    lay_out(folder)
    assert (folder / "docker/compose.yaml").read_bytes() == (
        ROOT / "docker/compose.yaml"
    ).read_bytes()
    laid_out = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    assert laid_out == set(in_navigation())


def test_a_list_and_a_table_below_a_sentence_get_an_empty_line() -> None:
    assert to_python_markdown("They are:\n- one\n- two\n\nEnd\n| a |\n|---|\n| `x \\| y` |\n") == (
        "They are:\n\n- one\n- two\n\nEnd\n\n| a |\n|---|\n| `x | y` |\n"
    )


def test_a_table_right_below_a_block_of_code_gets_an_empty_line() -> None:
    assert (
        to_python_markdown("```sh\nls\n```\n| a |\n|---|\n") == "```sh\nls\n```\n\n| a |\n|---|\n"
    )


def test_blocks_of_code_stay_as_they_are() -> None:
    text = "Text\n\n```sh\nls\n- x\n| y |\n```\n"
    assert to_python_markdown(text) == text


def test_a_diagram_of_states_becomes_a_table() -> None:
    text = "```mermaid\nstateDiagram-v2\n    [*] --> a: begin\n    a --> [*]\n```"
    assert to_python_markdown(text) == (
        "| from | to | when |\n|---|---|---|\n| · | `a` | begin |\n| `a` | · |  |\n"
    )


def test_fields_of_a_docstring_become_a_list() -> None:
    text = "A record.\n\nkey: None: it has\n    no key\nread / write: both\nNote: prose"
    assert field_lists(text, {"key", "read", "write"}) == (
        "A record.\n\n- `key`: None: it has\n    no key\n- `read / write`: both\n    Note: prose"
    )


def test_fields_in_backticks_become_the_same_list() -> None:
    assert field_lists("`key`: it\n`read`, `write`: both", {"key", "read", "write"}) == (
        "- `key`: it\n- `read, write`: both"
    )


def test_each_field_has_its_type_once() -> None:
    types = {"key": "bytes | None", "value": "bytes"}
    assert with_types("A record.\n\n- `key`: it", types) == (
        "A record.\n\n- `key` (`bytes | None`): it\n\n- `value` (`bytes`)"
    )


def test_rows_of_two_columns_become_a_list() -> None:
    text = "Errors:\n  RetryLater   it is away,\n               try again\n  Fenced       stop"
    assert field_lists(text, ()) == (
        "Errors:\n\n- `RetryLater`: it is away,\n    try again\n- `Fenced`: stop"
    )


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ('<a href="https://x.example/">', []),
        ('<link rel="canonical" href="https://x.example/">', []),
        ('<script src="https://x.example/a.js">', ["https://x.example/a.js"]),
        ("<img src=//x.example/a.png>", ["//x.example/a.png"]),
        ('@import "https://x.example/a.css"', ["https://x.example/a.css"]),
        ("src: url(https://x.example/a.woff)", ["https://x.example/a.woff"]),
    ],
)
def test_what_a_page_loads_from_other_hosts_is_noticed(text: str, addresses: list[str]) -> None:
    assert loaded_from_elsewhere(text) == addresses


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<p>They are:\n- one</p>", ["- one"]),
        ("<p>| a | b |</p>", ["| a | b |"]),
        ("<p>either a | b |</p>", []),
        ("<p>see [x](y.md)</p>", ["](y.md)"]),
        ("<pre><code>\n- one</code></pre>", []),
        ("<p>a - b, 2 * 3</p>", []),
    ],
)
def test_markdown_that_was_not_recognised_is_noticed(text: str, visible: list[str]) -> None:
    assert unrecognised_markdown(f"<article>{text}</article>") == visible
