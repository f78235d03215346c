"""XML of metadata documents, without document types: no entity is ever expanded."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from bridge.model.errors import ConfigurationError

_SPACES = {
    "http://www.sap.com/Protocols/SAPData": "sap",
    "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata": "m",
}


class _NoDoctype(TreeBuilder):
    def doctype(self, *_: object) -> None:
        """Called before anything that a document type declares could take effect."""
        raise ConfigurationError(
            "$metadata has a document type (<!DOCTYPE ...>), which no OData service writes: "
            "entities in it could read files or fill the memory, so it is refused"
        )


def parse_xml(text: bytes) -> Element:
    """The document's root; raises ConfigurationError."""
    # DOCTYPE is refused above, and with it every entity; expat fetches nothing by itself.
    parser = XMLParser(target=_NoDoctype())  # noqa: S314
    try:
        parser.feed(text)
        root: Element = parser.close()
    except (ParseError, LookupError, ValueError) as error:
        # The latter are encodings that are none, or that no parser knows.
        raise ConfigurationError(f"$metadata is no XML: {error}") from None
    return root


def local(element: Element) -> str:
    """An element's name without namespace: versions of CSDL differ in nothing else."""
    return element.tag.rpartition("}")[2]


def children(element: Element, *names: str) -> Iterator[Element]:
    """Children of these names, in any namespace."""
    for child in element:
        if local(child) in names:
            yield child


def attributes(element: Element) -> dict[str, str]:
    """Attributes by name, those of SAP and Microsoft with `sap:` and `m:` before them."""
    found = {}
    for name, value in element.attrib.items():
        space, _, last = name.lstrip("{").rpartition("}")
        found[f"{_SPACES.get(space, space)}:{last}" if space else last] = value
    return found


def number(text: str | None) -> int | None:
    """A facet's number; None where it is `Max`, nonsense or not there."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def scale(text: str | None) -> int | None:
    """A Scale facet: -1 for `variable` and `floating`."""
    if text is not None and text.lower() in {"variable", "floating"}:
        return -1
    return number(text)
