"""A file means what it says, or it is refused in the line where it doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.document import parse
from bridge.config.models import SystemModel
from bridge.config.models_to_specs import system_spec
from bridge.config.problems import ConfigProblems
from bridge.plan.steps import Transform
from bridge.plan.transform import function

_DEEP = 3000
_LAUGHS = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    + [
        f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]"
        for below, name in zip("abcdefg", "bcdefgh", strict=True)
    ]
)


def refused(text: str) -> str:
    with pytest.raises(ConfigProblems) as refusal:
        parse(text, "shop.yaml")
    return str(refusal.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("a: " + "[" * _DEEP + "]" * _DEEP, 1, "nested more than 100", id="flow"),
        pytest.param(
            "\n".join(" " * depth + "a:" for depth in range(_DEEP)), 100, "nested more", id="block"
        ),
        pytest.param("\n".join("- " * 3 + "x" for _ in range(3)) + "\n" + "- " * _DEEP, 4, "nested", id="list"),
        pytest.param(_LAUGHS, 5, "expand this file too much", id="laughs"),
        pytest.param("a: &a x\nb: [" + "*a, " * 20_000 + "]", 2, "at most 10,000", id="aliases"),
        pytest.param("a: &a\n  b: *a\n", 2, "inside of &a itself", id="cycle"),
        pytest.param("a: *b\n", 1, "there is no &b before it", id="unknown alias"),
        pytest.param("%YAML 1.1\n---\na: yes\n", 2, "YAML 1.2", id="older YAML"),
        pytest.param("a:\n  - !!python/name:os.system x\n", 2, "!!python/name:os.system", id="tag"),
        pytest.param("a: 1\nb: 2\na: 3\n", 3, "is already in line 1", id="twice"),
        pytest.param("map: {1: a, '1': b}\n", 1, "'1' is already in line 1", id="number and text"),
        pytest.param("a:\n  01: x\n", 2, 'put it in quotes: "01"', id="zeros in a key"),
        pytest.param("a:\n  b: 007\n", 2, 'put it in quotes: "007"', id="zeros in a value"),
        pytest.param("a:\n  2026-01-01: x\n", 2, "put it in quotes", id="date as a key"),
        pytest.param("a:\n  1.0: x\n", 2, "put it in quotes", id="fraction as a key"),
        pytest.param("a:\n  null: x\n", 2, "put it in quotes", id="null as a key"),
        pytest.param("a:\n  ? [1, 2]\n  : x\n", 2, "not a list or a mapping", id="list as a key"),
        pytest.param("a: 1\nb: 2026-02-31\n", 2, "can't be read", id="no date"),
        pytest.param("a: 1\nb: " + "9" * 5000, 2, "5,000 digits", id="endless number"),
        pytest.param("a: 1\nb: 0x" + "f" * 5000, 2, "digits", id="endless hexadecimal number"),
        pytest.param("a: 1\nb: x\0\n", 2, "U+0000", id="control character"),
    ],
)  # fmt: skip
def test_what_could_mean_something_else_is_refused_in_its_line(
    text: str, line: int, words: str
) -> None:
    message = refused(text)
    assert f"shop.yaml:{line}:" in message
    assert words in message


def test_a_key_that_stands_twice_is_refused_without_its_values() -> None:
    message = refused(
        "url: postgresql://u:hunter2hunter2@db/x\nurl: sqlite:///x?key=hunter2hunter2\n"
    )
    assert "hunter2" not in message


def test_anchors_that_a_person_would_write_are_taken() -> None:
    document = parse(
        "common: &common {a: {type: string}}\n"
        + "".join(f"t{n}:\n  <<: *common\n  b: &b{n} true\n  c: *b{n}\n" for n in range(500)),
        "shop.yaml",
    )
    assert document.data["t499"] == {"a": {"type": "string"}, "b": True, "c": True}
    assert document.data["t499"]["b"] is True


@given(st.text("0123456789+-.,_:xobeEfalstrunTFN~", max_size=8))
def test_a_key_is_what_is_written_or_is_refused(text: str) -> None:
    try:
        document = parse(f"map:\n  {text}: x\n", "shop.yaml")
    except ConfigProblems:
        return
    if not isinstance(document.data["map"], dict):
        return  # `a:` and the like are texts, not keys
    (key,) = document.data["map"]
    assert f"{key}: x".startswith(key)
    assert text.strip().lower().startswith(key.lower())


def test_a_map_matches_true_of_a_column_of_booleans() -> None:
    text = """
        system: shop
        connector: sqlite
        url: sqlite:///shop.db
        entities:
          order:
            from: orders
            key: [id]
            fields:
              id: {type: integer}
              paid: {map: {true: yes, False: no, 2: odd}}
    """
    model = SystemModel.model_validate(parse(text, "shop.yaml").data)
    (spec,) = system_spec(model).entities
    assert dict(spec.fields[1].map or {}) == {"true": "yes", "false": "no", "2": "odd"}
    mapped = function(Transform("map", tuple((spec.fields[1].map or {}).items())), None)
    assert [mapped(value) for value in (True, False, 2, "2")] == ["yes", "no", "odd", "odd"]


@pytest.mark.parametrize("merged", ["{<<: *common}", "{<<: [*common, *common]}"])
def test_a_mapping_of_nothing_but_what_is_merged_is_read(merged: str) -> None:
    """It has no places of its own, which was a traceback."""
    document = parse(f"common: &common {{type: string}}\nmail: {merged}\n", "shop.yaml")
    assert document.data["mail"] == {"type": "string"}
    assert document.line(("mail", "type")) == 2


def test_an_escape_for_a_character_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigProblems, match=r"shop.yaml: not valid YAML"):
        parse('a: "\\U00110000"\n', "shop.yaml")
