"""Metadata documents of any format and version: finds the reader of each."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from bridge.model.errors import ConfigurationError
from connectors.odata.metadata.csdl_json import read_csdl_json
from connectors.odata.metadata.csdl_xml import read_csdl_xml
from connectors.odata.metadata.edmx import read_edmx
from connectors.odata.metadata.model import ODataService
from connectors.odata.metadata.model_builder import build_service
from connectors.odata.metadata.xml_elements import (
    attributes,
    children,
    local_name,
    parse_xml,
)

V3_SCHEMA = "{http://schemas.microsoft.com/ado/2009/11/edm}"
"""The namespace of V3; V2's are from 2006 to 2008."""


def parse_metadata(metadata: bytes, content_type: str = "") -> ODataService:
    """The content of a metadata document. Raises ConfigurationError if it is none."""
    body = metadata.lstrip(b"\xef\xbb\xbf \t\r\n")
    if "json" in content_type.lower() or body.startswith(b"{"):
        return _from_json(body)
    if not body.startswith(b"<"):
        raise ConfigurationError(
            "$metadata is neither XML nor JSON: is the url the service's root, as in "
            "https://host/path/?"
        )
    root = parse_xml(body)
    if local_name(root) != "Edmx":
        raise ConfigurationError(
            f"$metadata begins with <{local_name(root)}>, not with <Edmx>: is the url the service's "
            "root, as in https://host/path/?"
        )
    version = attributes(root).get("Version", "")
    later = unsupported_version(root)
    if later:
        raise ConfigurationError(
            f"$metadata is of OData {later}, whose rows and links to further pages differ from those of "
            "V2 and V4, which this connector supports: use the service's V4 or V2 root, if it has one"
        )
    return build_service(read_edmx(root) if version.startswith("1.") else read_csdl_xml(root))


def unsupported_version(root: Element) -> str:
    """The version of a service that is neither V2 nor V4 (V3, or a future one); "" otherwise.
    `MaxDataServiceVersion="3.0"` alone means that V3 may be requested; the bridge requests V2.
    """
    version = attributes(root).get("Version", "")
    if not version.startswith("1."):
        return "" if version.startswith("4.") or not version else f"version {version}"
    for services in children(root, "DataServices"):
        service_version = (
            attributes(services).get("m:DataServiceVersion", "").partition(";")[0].strip()
        )
        if service_version[:1] not in {"", "1", "2"}:
            return f"V{service_version[:1]}"
        if any(schema.tag.startswith(V3_SCHEMA) for schema in children(services, "Schema")):
            return "V3"
    return ""


def _from_json(body: bytes) -> ODataService:
    """Any part of JSON may have another type than CSDL requires: that is no defect of this program."""
    try:
        return build_service(read_csdl_json(body))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"$metadata is JSON, but not as CSDL JSON is ({type(error).__name__}: {error}): is the "
            "url the service's root, as in https://host/path/?"
        ) from error
