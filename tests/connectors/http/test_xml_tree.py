"""XML that is meant to cost much, or to read files: one error, at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http import xml_tree
from connectors.http.errors import UnreadableAnswer
from connectors.http.xml_tree import MAX_DEPTH, parse_xml

PIECES = st.sampled_from(
    [b"<a>", b"</a>", b"<b c='d'/>", b"&lt;", b"&x;", b"<!DOCTYPE a [", b"<!ENTITY x 'y'>", b"]>",
     b"<?xml version='1.0' encoding='utf-16'?>", b"<?xml version='1.0' encoding='x'?>", b"\xff",
     b"<![CDATA[", b"]]>", b"<n:a xmlns:n='u'>", b"\x00"]
)  # fmt: skip


@given(st.binary(max_size=60) | st.lists(PIECES).map(b"".join))
def test_whatever_comes_is_a_root_or_unreadable(content: bytes) -> None:
    try:
        parse_xml(content)
    except UnreadableAnswer:
        return


def test_what_is_nested_too_deeply_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer, match="nested too deeply"):
        parse_xml(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))
    root = parse_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    assert len(list(root.iter())) == MAX_DEPTH


def test_more_elements_than_the_memory_holds_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_tree, "MAX_ELEMENTS", 100)
    with pytest.raises(UnreadableAnswer, match="more than 100 elements"):
        parse_xml(b"<a>" + b"<b/>" * 100 + b"</a>")


@pytest.mark.parametrize("inside", [b"<!ENTITY a 'b'>", b"<!ENTITY a SYSTEM 'file:///etc/passwd'>"])
def test_a_document_type_is_refused_before_anything_in_it_counts(inside: bytes) -> None:
    with pytest.raises(UnreadableAnswer, match="document type"):
        parse_xml(b"<!DOCTYPE x [" + inside + b"]><x>&a;</x>")
