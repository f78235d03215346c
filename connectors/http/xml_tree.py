"""XML of a service, without document types: no entity is ever expanded. Pure."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from connectors.http.errors import UnreadableAnswer

MAX_DEPTH: Final = 100
MAX_ELEMENTS: Final = 1_000_000


class _BoundedTreeBuilder(TreeBuilder):
    """Called before anything that a document type declares could take effect."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._elements = 0

    def doctype(self, *_: object) -> None:
        raise UnreadableAnswer(
            "has a document type (<!DOCTYPE ...>), which no such service writes: entities in it "
            "could read files or fill the memory, so it is refused"
        )

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableAnswer("is nested too deeply")
        if self._elements > MAX_ELEMENTS:
            raise UnreadableAnswer(f"has more than {MAX_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse_xml(content: bytes) -> Element:
    """The document's root. Raises UnreadableAnswer, whose message continues the document's name."""
    # DOCTYPE is refused above, and with it every entity; expat fetches nothing by itself.
    parser = XMLParser(target=_BoundedTreeBuilder())  # noqa: S314
    try:
        parser.feed(content)
        root: Element = parser.close()
    except UnreadableAnswer:
        raise
    except (ParseError, LookupError, ValueError) as error:
        # The latter are encodings that are none, or that no parser knows.
        raise UnreadableAnswer(f"is no XML: {error}") from None
    return root
