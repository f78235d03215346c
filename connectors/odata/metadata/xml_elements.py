"""XML of metadata documents."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from bridge.model.errors import ConfigurationError
from connectors.http import xml_tree
from connectors.http.errors import UnreadableAnswer

MAX_FACET_DIGITS = 9
_SPACES = {
    "http://www.sap.com/Protocols/SAPData": "sap",
    "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata": "m",
}


def parse_xml(text: bytes) -> Element:
    """The document's root; raises ConfigurationError."""
    try:
        return xml_tree.parse_xml(text)
    except UnreadableAnswer as error:
        raise ConfigurationError(f"$metadata {error}") from None


def local_name(element: Element) -> str:
    """An element's name without namespace: versions of CSDL differ in nothing else."""
    return element.tag.rpartition("}")[2]


def children(element: Element, *names: str) -> Iterator[Element]:
    """Children of these names, in any namespace."""
    for child in element:
        if local_name(child) in names:
            yield child


def attributes(element: Element) -> dict[str, str]:
    """Attributes by name, those of SAP and Microsoft with `sap:` and `m:` before them."""
    by_name = {}
    for name, value in element.attrib.items():
        space, _, last = name.lstrip("{").rpartition("}")
        by_name[f"{_SPACES.get(space, space)}:{last}" if space else last] = value
    return by_name


def facet_number(text: str | None) -> int | None:
    """A facet's number; None if it is `Max`, invalid or missing."""
    if text is None or len(text) > MAX_FACET_DIGITS:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def facet_scale(text: str | None) -> int | None:
    """A Scale facet: -1 for `variable` and `floating`."""
    if text is not None and text.lower() in {"variable", "floating"}:
        return -1
    return facet_number(text)
