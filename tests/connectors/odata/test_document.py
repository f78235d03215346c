"""What is read of metadata: V4 in XML and JSON, V2, and what real services send."""

from __future__ import annotations

import json
import random
import re
import sys
from types import FrameType
from typing import Any

import httpx
import pytest

from bridge.model.errors import ConfigurationError
from connectors.odata.draft.system_file import draft
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.metadata.field_types import field_type
from connectors.odata.metadata.model import Navigation, ODataService
from tests.connectors.odata.metadata_documents import JSON, V2, V4
from tests.connectors.odata.mutated_answers import spoil, spots
from tests.connectors.odata.things_service import ID, document, prop
from tests.services.cap import Cap
from tests.services.odatapy import Odatapy


def kinds(service: ODataService, name: str) -> dict[str, str]:
    """The field types of a set's properties."""
    properties = service.sets[name].properties.values()
    return {p.name: str(field_type(p, service.version)) for p in properties}


def test_v4_types_are_resolved_through_definitions_bases_and_complex_types() -> None:
    service = parse_metadata(V4, "application/xml")
    assert service.version == "v4"
    assert kinds(service, "Orders") == {
        "Id": "uuid",
        "ModifiedOn": "timestamp",
        "Number": "string",
        "CustomerId": "uuid",
        "State": "string",
        "Total": "decimal(19,4)",
        "Rate": "string",
        "ShipTo/Street": "string",
        "ShipTo/Country/Code": "string",
    }
    orders = service.sets["Orders"]
    assert orders.key == ("Id",)
    assert orders.properties["State"].enum == "Trade.Model.State"
    assert orders.properties["Number"].max_length == 10
    assert (orders.concurrency, orders.changed, orders.delta) == (
        ("ModifiedOn",),
        "ModifiedOn",
        False,
    )


def test_annotations_beside_the_sets_say_what_they_can() -> None:
    customers = parse_metadata(V4).sets["Customers"]
    assert customers.delta
    assert not customers.deletable
    assert customers.updatable
    assert not customers.can_filter("Name")
    assert customers.can_filter("Id")


def test_relations_know_both_ways_where_one_tells_by_what() -> None:
    service = parse_metadata(V4)
    assert service.sets["Orders"].navigations["Customer"] == Navigation(
        "Customer", "Customers", many=False, by=(("CustomerId", "Id"),)
    )
    assert service.sets["Customers"].navigations["Orders"] == Navigation(
        "Orders", "Orders", many=True, by=(("Id", "CustomerId"),)
    )
    assert service.sets["Orders"].navigations["Lines"].target == ""
    assert service.sets["Orders"].navigations["Ghost"].target == ""


def test_what_cannot_be_used_is_left_out_with_a_reason_and_the_rest_stays() -> None:
    left_out = parse_metadata(V4).left_out
    assert set(left_out) == {
        "Orders/ShipTo/Geo",
        "Orders/Tags",
        "Orders/Anything",
        "Orders/Odd",
        "Orders/$value",
        "Reports",
        "Me",
    }
    assert "Elsewhere.Unknown" in left_out["Orders/Odd"]
    assert "without a key" in left_out["Reports"]
    assert "collection" in left_out["Orders/Tags"]
    assert len(parse_metadata(V4).notes) == len(left_out)


def test_actions_are_named_as_their_addresses_want_it() -> None:
    actions = {action.name: action for action in parse_metadata(V4).actions}
    assert set(actions) == {"Trade.Model.Confirm", "Trade.Model.ConfirmAll", "CloseDay"}
    confirm = actions["Trade.Model.Confirm"]
    assert (confirm.bound_to, confirm.bound_many) == ("Orders", False)
    assert [p.name for p in confirm.parameters] == ["reason", "lines"]
    assert actions["Trade.Model.ConfirmAll"].bound_many
    assert actions["CloseDay"].bound_to is None


def test_csdl_json_has_defaults_of_its_own() -> None:
    service = parse_metadata(JSON, "application/json;odata.metadata=minimal")
    assert kinds(service, "Orders") == {
        "Id": "uuid",
        "Number": "string",
        "CustomerId": "uuid",
        "State": "string",
        "Total": "decimal(19,4)",
        "Rate": "string",
    }
    orders = service.sets["Orders"]
    assert not orders.properties["Number"].nullable
    assert orders.properties["State"].nullable
    assert orders.concurrency == ("",)
    assert service.sets["Customers"].delta
    assert service.sets["Customers"].navigations["Orders"].by == (("Id", "CustomerId"),)
    assert [action.name for action in service.actions] == ["Trade.Model.Confirm"]
    assert set(service.left_out) == {"Orders/Photo", "Orders/Tags", "Me"}


def test_v2_is_read_with_its_associations_and_sap_s_attributes() -> None:
    service = parse_metadata(V2, "application/xml")
    assert service.version == "v2"
    assert kinds(service, "Orders") == {
        "OrderID": "integer",
        "CustomerID": "string",
        "OrderDate": "date",
        "ShippedDate": "local_timestamp",
        "Freight": "decimal(19,4)",
        "Rate": "string",
        "ShipTo/Street": "string",
        "ShipTo/City": "string",
        "LastChangeDateTime": "timestamp",
    }
    orders, details = service.sets["Orders"], service.sets["Order_Details"]
    assert (orders.changed, orders.concurrency) == ("LastChangeDateTime",) * 1 + (
        ("LastChangeDateTime",),
    )
    assert orders.properties["ShipTo/City"].nullable, "the address as a whole may be null"
    assert orders.navigations["Customer"].by == (("CustomerID", "CustomerID"),)
    assert orders.navigations["Order_Details"] == Navigation(
        "Order_Details", "Order_Details", many=True, by=(("OrderID", "OrderID"),)
    )
    assert orders.navigations["Shipper"].target == ""
    assert details.key == ("OrderID", "ProductID")
    assert not details.creatable
    assert not service.sets["Customers"].deletable
    assert not service.sets["Customers"].can_filter("Region")
    assert not service.sets["Employees"].sortable
    assert set(service.left_out) == {
        "Employees/Desk",
        "Employees/$value",
        "Alphabetical_lists",
        "Shippers",
    }
    actions = {action.name: action for action in service.actions}
    assert (actions["Release"].method, actions["Cheapest"].is_function) == ("POST", True)


@pytest.mark.parametrize(
    ("document", "advice"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "DOCTYPE"),
        (b"<html><body>Welcome</body></html>", "<html>"),
        (b"<a><b></a>", "no XML"),
        (b"<edmx:Edmx", "no XML"),
        (b"", "neither XML nor JSON"),
        (b'{"value": []}', r"\$Version"),
        (b'{"$Version"', "no JSON"),
        (b"Not Found", "neither XML nor JSON"),
    ],
)
def test_what_is_no_metadata_is_told_with_a_way_out(document: bytes, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        parse_metadata(document)


def test_entities_of_a_document_type_are_never_expanded() -> None:
    """A few lines of XML could fill the memory, or read a file of ours."""
    bomb = b"<!DOCTYPE x [" + b"".join(
        b"<!ENTITY e%d '%s'>" % (at, b"&e%d;" % (at - 1) * 50 if at else b"x") for at in range(20)
    )
    with pytest.raises(ConfigurationError, match="refused"):
        parse_metadata(bomb + b"]><x>&e19;</x>")


def test_types_that_lead_to_themselves_end() -> None:
    circular = V4.replace(
        b'<Property Name="Code" Type="Edm.String" MaxLength="2"/>',
        b'<Property Name="Again" Type="Self.Address"/>',
    ).replace(b'Name="Thing" Abstract="true"', b'Name="Thing" BaseType="Self.Order"')
    service = parse_metadata(circular)
    assert any("deep" in why for why in service.left_out.values())


def test_cap_s_metadata_is_the_same_in_xml_and_in_json(cap: Cap) -> None:
    with cap.client() as client:
        xml = client.get("$metadata", headers={"Accept": "application/xml"})
        json = client.get("$metadata?$format=json", headers={"Accept": "application/json"})
    first = parse_metadata(xml.content, xml.headers["content-type"])
    second = parse_metadata(json.content, json.headers["content-type"])
    assert first.sets.keys() == second.sets.keys()
    assert first.actions == second.actions
    assert first.left_out == second.left_out
    for name, entity_set in first.sets.items():
        assert kinds(first, name) == kinds(second, name)
        assert entity_set.navigations == second.sets[name].navigations
    assert first.sets["Orders"].changed == "modifiedAt"
    assert first.sets["Orders"].navigations["lines"].by == (("ID", "order_ID"),)
    assert "stream" in first.left_out["Kinds/photo"]


def test_cap_s_v2_has_the_same_sets(cap: Cap) -> None:
    with cap.client() as client:
        v4 = parse_metadata(client.get("$metadata").content)
        v2 = parse_metadata(httpx.get(f"{cap.v2}$metadata", trust_env=False, timeout=30).content)
    assert v2.version == "v2"
    assert v2.sets.keys() == v4.sets.keys()
    assert {name: entity_set.key for name, entity_set in v2.sets.items()} == {
        name: entity_set.key for name, entity_set in v4.sets.items()
    }


def test_odatapy_s_metadata_announces_its_change_tracking(odatapy: Odatapy) -> None:
    with odatapy.client() as client:
        answer = client.get("$metadata", headers={"Accept": "application/xml"})
    service = parse_metadata(answer.content, answer.headers["content-type"])
    assert all(entity_set.delta for entity_set in service.sets.values())
    assert service.sets["Orders"].concurrency == ("",)
    assert kinds(service, "Kinds")["span"] == "string"
    assert set(service.left_out) >= {"Kinds/photo", "Kinds/tags"}


def test_large_metadata_takes_its_time_in_proportion() -> None:
    """Of services with thousands of types; four times as much takes about four times as long."""
    few, many = lines_run(50), lines_run(200)
    assert many < 5 * few


def lines_run(count: int) -> int:
    """Lines of Python that run to draft so many sets, each with a relation and an action."""
    types = "".join(
        f'<EntityType Name="T{n}"><Key><PropertyRef Name="ID"/></Key>'
        '<Property Name="ID" Type="Edm.Int32" Nullable="false"/><Property Name="Next" '
        f'Type="Edm.Int32"/><NavigationProperty Name="next" Type="Big.T{(n + 1) % count}">'
        '<ReferentialConstraint Property="Next" ReferencedProperty="ID"/></NavigationProperty>'
        f'</EntityType><Action Name="Act{n}" IsBound="true"><Parameter Name="it" '
        f'Type="Big.T{n}"/></Action>'
        for n in range(count)
    )
    sets = "".join(
        f'<EntitySet Name="S{n}" EntityType="Big.T{n}"><NavigationPropertyBinding Path="next" '
        f'Target="S{(n + 1) % count}"/></EntitySet>'
        for n in range(count)
    )
    document = (
        '<Edmx Version="4.0"><DataServices><Schema Namespace="Big">'
        f'{types}<EntityContainer Name="All">{sets}</EntityContainer></Schema></DataServices></Edmx>'
    ).encode()
    lines = 0

    def count_lines(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count_lines

    before = sys.gettrace()
    sys.settrace(count_lines)
    try:
        written = draft(parse_metadata(document))
    finally:
        sys.settrace(before)
    assert f"from: S{count - 1}" in written
    return lines


@pytest.mark.parametrize("encoding", ["klingon", "utf-7", "base64"])
def test_metadata_in_an_encoding_that_is_none_is_told(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\$metadata is no XML"):
        parse_metadata(f'<?xml version="1.0" encoding="{encoding}"?><Edmx/>'.encode())


def test_metadata_that_is_nested_without_end_is_told() -> None:
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse_metadata(b'{"S": ' + b"[" * 100_000)
    with pytest.raises(ConfigurationError):
        parse_metadata(b"<a>" * 50_000 + b"</a>" * 50_000)


@pytest.mark.parametrize("document", ["V4", "V2", "JSON"])
def test_metadata_that_is_a_little_wrong_is_read_or_told(document: str) -> None:
    whole: bytes = {"V4": V4, "V2": V2, "JSON": JSON}[document]
    drawn = random.Random(7)  # noqa: S311 - to be repeated
    read = refused = 0
    for _ in range(300):
        try:
            parse_metadata(_spoiled(whole, drawn))
            read += 1
        except ConfigurationError:
            refused += 1
    assert read
    assert refused


def _spoiled(whole: bytes, drawn: random.Random) -> bytes:
    if whole.startswith(b"{"):
        document = json.loads(whole)
        spoil(*drawn.choice(list(spots(document))), drawn)
        return json.dumps(document).encode()
    pieces = [match.span() for match in re.finditer(rb'"[^"]*"|<[^>]*>|[A-Za-z.]+', whole)]
    (start, end), (other, upto) = drawn.choice(pieces), drawn.choice(pieces)
    return whole[:start] + whole[other:upto] + whole[end:]


RESTRICTED_V4 = b"""<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
<edmx:DataServices><Schema Namespace="N" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="T"><Key><PropertyRef Name="Id"/></Key><Property Name="Id" Type="Edm.Guid"/>
<Property Name="ModifiedAt" Type="Edm.DateTimeOffset"/><Property Name="Plant" Type="Edm.String"/>
</EntityType><EntityContainer Name="C"><EntitySet Name="Things" EntityType="N.T">
<Annotation Term="Org.OData.Capabilities.V1.TopSupported" Bool="false"/>
<Annotation Term="Org.OData.Capabilities.V1.SortRestrictions"><Record>
<PropertyValue Property="NonSortableProperties"><Collection>
<PropertyPath>ModifiedAt</PropertyPath></Collection></PropertyValue></Record></Annotation>
<Annotation Term="Org.OData.Capabilities.V1.FilterRestrictions"><Record>
<PropertyValue Property="RequiredProperties"><Collection><PropertyPath>Plant</PropertyPath></Collection>
</PropertyValue><PropertyValue Property="FilterExpressionRestrictions"><Collection><Record>
<PropertyValue Property="Property" PropertyPath="Id"/>
<PropertyValue Property="AllowedExpressions" String="SingleValue"/></Record></Collection>
</PropertyValue></Record></Annotation></EntitySet></EntityContainer></Schema></edmx:DataServices>
</edmx:Edmx>"""
RESTRICTED_V2 = b"""<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">
<edmx:DataServices><Schema Namespace="N" xmlns="http://schemas.microsoft.com/ado/2008/09/edm"
xmlns:sap="http://www.sap.com/Protocols/SAPData">
<EntityType Name="T"><Key><PropertyRef Name="Id"/></Key>
<Property Name="Id" Type="Edm.Guid" sap:filter-restriction="single-value"/>
<Property Name="ModifiedAt" Type="Edm.DateTimeOffset" sap:sortable="false"/>
<Property Name="Plant" Type="Edm.String" sap:required-in-filter="true"/>
</EntityType><EntityContainer Name="C"><EntitySet Name="Things" EntityType="N.T" sap:topable="false"
sap:requires-filter="true"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


@pytest.mark.parametrize("document", [RESTRICTED_V4, RESTRICTED_V2])
def test_what_a_set_refuses_of_single_properties_is_read(document: bytes) -> None:
    [things] = parse_metadata(document).sets.values()
    assert things.can_filter("Id")
    assert not things.can_page_by("Id"), "`gt` of it is refused"
    assert things.can_filter("ModifiedAt")
    assert not things.can_page_by("ModifiedAt"), "no order may name it"
    assert things.can_page_by("Plant")
    assert not things.toppable
    assert things.required_filters[-1] == "Plant"


def test_float_of_sap_is_a_double() -> None:
    [things] = parse_metadata(document(ID + prop("x", "Edm.Float"), version="v2")).sets.values()
    assert things.properties["x"].edm == "Edm.Double"
