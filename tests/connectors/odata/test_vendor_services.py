"""What real services write that the standard's own examples don't: names, addresses, details."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.connector import DELETE, Done, Effect, Shape, System, TableUse
from bridge.model.errors import Rejected, RowError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.make_plan import entity_type
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.pollers.delta import DeltaPoller
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.connector import connector
from connectors.odata.draft.system_file import draft
from connectors.odata.http.error_text import MAX_DETAILS, service_error_text
from connectors.odata.http.errors import response_error
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.metadata.model import Property
from connectors.odata.protocol.entity_table import build_table
from connectors.odata.protocol.literal import literal, payload
from connectors.odata.protocol.property_values import row_value
from connectors.odata.protocol.response import EntityPage, ODataResponse, page_of, row_of
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone

NOW = datetime(2026, 5, 1, tzinfo=UTC)
V4 = "http://docs.oasis-open.org/odata/ns/edm"
V2 = "http://schemas.microsoft.com/ado/2008/09/edm"


def document(properties: str, key: str = "id", *, version: str = "v4", more: str = "") -> bytes:
    """The metadata of one set, `Things`."""
    space, number = (V4, "4.0") if version == "v4" else (V2, "1.0")
    refs = "".join(f'<PropertyRef Name="{name}"/>' for name in key.split())
    return (
        f'<edmx:Edmx Version="{number}" xmlns:edmx="x"><edmx:DataServices>'
        f'<Schema Namespace="N" xmlns="{space}"><EntityType Name="T"><Key>{refs}</Key>{properties}'
        f'</EntityType><EntityContainer Name="C"><EntitySet Name="Things" EntityType="N.T"/>'
        f"</EntityContainer>{more}</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def prop(name: str, edm: str = "Edm.String", facets: str = "") -> str:
    return f'<Property Name="{name}" Type="{edm}" {facets}/>'


class FixedAnswers:
    """A service that answers by `answers`: the first whose method and path begin so; bodies are JSON."""

    def __init__(
        self, metadata: bytes, answers: Mapping[str, CannedResponse | tuple[int, Any]]
    ) -> None:
        self._metadata = metadata
        self.answers = dict(answers)
        self.between: HttpProxy = alone(self.answer)

    @property
    def url(self) -> str:
        return f"{self.between.address}/erp/"

    def answer(self, request: ForwardedRequest) -> CannedResponse:
        """As `tests.http_proxy.Rule`."""
        path = request.path.removeprefix("/erp/")
        if path == "$metadata":
            return CannedResponse(200, self._metadata, {"Content-Type": "application/xml"})
        for begin, answer in self.answers.items():
            method, _, start = begin.partition(" ")
            if method == request.method and path.startswith(start):
                if isinstance(answer, CannedResponse):
                    return answer
                body = json.dumps(answer[1]).encode()
                return CannedResponse(answer[0], body, {"Content-Type": "application/json"})
        return CannedResponse(
            404, b'{"error": {"message": "not there"}}', {"Content-Type": "application/json"}
        )

    def system(self) -> System:
        return System("acme", "erp", self.url, self.url, ODataOptions(), (TableUse("Things"),), 2)


def removed(properties: str, key: str, entry: Mapping[str, Any]) -> Any:
    """The key of a removed row, as a delta poller reads it."""
    service = parse_metadata(document(properties, key))
    return DeltaPoller(_Delta(entry), build_table(service, TableUse("Things")), 10)


class _Delta:
    """`Asks` whose page of changes holds one entry."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._body = {"value": [entry], "@odata.deltaLink": "http://erp/next"}

    async def get(self, *_: Any, **__: Any) -> ODataResponse:
        return ODataResponse(200, {}, self._body)

    async def page(self, *_: Any, **__: Any) -> Any:
        return page_of(self._body)

    def page_in(self, answer: ODataResponse) -> EntityPage | None:
        return page_of(answer.body)


ID, CAPITAL, REASON = prop("id"), prop("Id"), prop("id") + prop("reason")
GONE = {"@odata.context": "http://erp/$metadata#Things/$deletedEntity", "reason": "deleted"}


@pytest.mark.parametrize(
    ("properties", "key", "entry", "expected"),
    [
        (ID, "id", {**GONE, "id": "http://erp/Things('a%2Fb')"}, ("a/b",)),
        (ID, "id", {**GONE, "id": "Things('a')"}, ("a",)),
        (ID, "id", {**GONE, "id": "a"}, ("a",)),
        (CAPITAL, "Id", {**GONE, "id": "Things('a')"}, ("a",)),
        (CAPITAL, "Id", {**GONE, "id": "Things('x')", "Id": "a"}, ("a",)),
        (REASON, "id reason", {**GONE, "id": "Things(id='a',reason='r')"}, ("a", "r")),
        (REASON, "reason", {**GONE, "id": "Things('r')"}, ("r",)),
        (ID, "id", {"@removed": {"reason": "deleted"}, "id": "a"}, ("a",)),
        (ID, "id", {"@removed": {"reason": "deleted"}, "@id": "Things('a')"}, ("a",)),
        (ID, "id", {"@removed": {}, "@odata.id": "Things('a')", "id": "a"}, ("a",)),
        (CAPITAL, "Id", {"@removed": {"reason": "changed"}, "id": "Things('a')"}, ("a",)),
    ],
)
async def test_a_removed_row_is_the_one_that_its_address_names(
    properties: str, key: str, entry: Mapping[str, Any], expected: tuple[str, ...]
) -> None:
    poller = removed(properties, key, entry)
    poller.restore({"link": "http://erp/now", "told": "", "there": None, "gone": ""})
    [item] = (await poller.next_page()).items
    assert (item.op, item.key) == (DELETE, expected)


ODD_NAMES = ["d", "results", "value", "error", "id", "type", "etag", "__count", "next", "removed"]


@pytest.mark.parametrize("version", ["v4", "v2"])
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_property_may_have_any_name(name: str, version: str) -> None:
    """`d` and `results` were taken for V2's envelope, `error` for an error."""
    row = {"key": "k", name: "x"}
    body: Any = row if version == "v4" else {"d": row}
    listed: Any = {"value": [row]} if version == "v4" else {"d": {"results": [row]}}
    if version == "v4":
        body = {"@odata.context": "$metadata#Things/$entity", **row}
    service = FixedAnswers(
        document(prop("key") + prop(name), "key", version=version),
        {"GET Things(": (200, body), "GET Things": (200, listed)},
    )
    async with service.between.serving():
        reader = ODataReader(service.system())
        for _ in range(2):
            rows = await reader.fetch("Things", ["key"], [("k",)])
            assert rows.rows == [("k", "x")]
        await reader.close()
    assert row_of(body) == {**body.get("d", body)} if version == "v2" else row_of(body) == body
    assert row_of(listed) is None or version == "v4"


def test_a_lone_property_that_is_called_error_is_no_error() -> None:
    row = {"@odata.context": "$metadata#Things(error)/$entity", "error": "E1"}
    assert response_error(ODataResponse(200, {}, row), "GET", writes=False, now=NOW) is None
    refusal = response_error(
        ODataResponse(200, {}, {"error": {"message": "no"}}), "GET", writes=False, now=NOW
    )
    assert isinstance(refusal, Rejected)


def detail(number: int, **more: Any) -> dict[str, Any]:
    return {"code": "V1/311", "message": f"Item {number} is not complete", **more}


def test_every_detail_of_an_error_is_told() -> None:
    """SAP says in `innererror.errordetails` what is wrong, and in `message` that something is."""
    body = {
        "error": {
            "code": "SY/530",
            "message": {"lang": "en", "value": "An exception was raised"},
            "innererror": {
                "transactionid": "A1",
                "errordetails": [detail(1, propertyref="", severity="error"), detail(2)],
            },
        }
    }
    assert service_error_text(body) == (
        "An exception was raised; Item 1 is not complete; Item 2 is not complete"
    )
    v4 = {"error": {"message": "No", "details": [detail(1, target="to_Item(10)"), detail(1)]}}
    assert service_error_text(v4) == "No; Item 1 is not complete (to_Item(10))"
    many = {"error": {"message": "No", "details": [detail(number) for number in range(100)]}}
    text = service_error_text(many)
    assert text.endswith(f"and {101 - MAX_DETAILS} more")
    xml = (
        b'<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>1</code>'
        b"<message>Refused</message><innererror><errordetails><errordetail><message>Why &amp; how"
        b"</message></errordetail></errordetails></innererror></error>"
    )
    assert service_error_text(xml) == "Refused; Why & how"


@pytest.mark.parametrize("details", [None, 5, "x", [None, 5], {"results": [{"message": "a"}]}, {}])
def test_details_may_be_anything(details: Any) -> None:
    text = service_error_text({"error": {"message": "No", "innererror": {"errordetails": details}}})
    assert text in {"No", "No; a"}


def effect(
    statement: str, guard: Any = None, row: Mapping[str, Any] | None = None, **values: Any
) -> Effect:
    return Effect("t:1", "d", statement, values, "Things", row or {}, guard)


@pytest.mark.parametrize(
    "headers",
    [
        {"OData-EntityId": "http://erp/Things('N%201')", "Preference-Applied": "return=minimal"},
        {"Location": "http://erp/Things('N%201')"},
        {"Location": "/erp/Things(id='N%201')"},
    ],
)
@pytest.mark.parametrize("status", [201, 204])
async def test_the_key_that_a_service_gave_a_new_row_is_in_the_receipt(
    status: int, headers: dict[str, str]
) -> None:
    service = FixedAnswers(
        document(ID + prop("note")), {"POST Things": CannedResponse(status, b"", headers)}
    )
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("POST Things note='x'")])
        await writer.close()
    assert isinstance(done, Done), done
    assert done.result == '[{"id":"N 1"}]'


async def test_an_answer_without_any_key_leaves_the_result_empty() -> None:
    answers = {"POST Things": CannedResponse(204, b"", {"Location": "http://erp/elsewhere/"})}
    service = FixedAnswers(document(prop("id", "Edm.Guid") + prop("note")), answers)
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("POST Things note='x'")])
        await writer.close()
    assert isinstance(done, Done), done
    assert done.result is None


@pytest.mark.parametrize(
    ("edm", "own", "statement"),
    [("Edm.String", "5", ":key"), ("Edm.Int32", "5", "5"), ("Edm.Int32", 5, ":key")],
)
@pytest.mark.parametrize("guarded", [True, False])
async def test_a_row_that_was_read_with_an_etag_is_changed_under_it(
    edm: str, own: Any, statement: str, *, guarded: bool
) -> None:
    """Nothing in the metadata says that there are ETags; and the key may be written in several ways."""
    row = {"id": own if edm == "Edm.String" else 5, "note": "a", "@odata.etag": 'W/"1"'}
    service = FixedAnswers(
        document(prop("id", edm) + prop("note")),
        {
            "GET Things(": (200, row),
            "PATCH Things(": CannedResponse(204),
            "POST $batch": CannedResponse(501),
        },
    )

    def guard(_: Shape | None, raw: Any) -> None:
        assert raw is not None

    async with service.between.serving():
        writer = ODataWriter(service.system())
        command = effect(
            f"PATCH Things({statement}) note='b'",
            guard if guarded else None,
            {"id": own},
            key=5 if edm == "Edm.Int32" else "5",
        )
        [done] = await writer.execute([command])
        await writer.close()
        assert isinstance(done, Done), done
        [patch] = [request for request in service.between.requests if request.method == "PATCH"]
        assert patch.headers["if-match"] == 'W/"1"'


FINE = prop("id") + prop("at", "Edm.DateTimeOffset", 'Precision="7"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T10:00:00.1234560Z", datetime(2026, 5, 1, 10, 0, 0, 123456, UTC)),
        ("2026-05-01T10:00:00.1234567Z", "2026-05-01T10:00:00.1234567Z"),
        ("2026-05-01T12:00:00.0000001+02:00", "2026-05-01T10:00:00.0000001Z"),
    ],
)
def test_seven_digits_of_a_second_are_kept(text: str, expected: Any) -> None:
    p = Property("at", "Edm.DateTimeOffset", precision=7)
    timestamp = row_value(p, "v4", text)
    assert timestamp == expected
    assert row_value(p, "v4", payload(p, "v4", timestamp)) == expected, "a command writes it back"
    assert datetime.fromisoformat(literal(p, "v4", timestamp)) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("times", "field_type"),
    [
        (["2026-05-01T10:00:00.1234560Z"], "timestamp"),
        (["2026-05-01T10:00:00Z", "2026-05-01T10:00:00.1234567Z"], "string"),
        ([], "timestamp"),
    ],
)
async def test_times_are_drafted_as_what_the_rows_hold(times: list[str], field_type: str) -> None:
    """S/4 and CAP both declare seven digits; CAP's are milliseconds, and zeros."""
    rows = [{"id": str(number), "at": text} for number, text in enumerate(times)]
    service = FixedAnswers(document(FINE), {"GET Things": (200, {"value": rows})})
    async with service.between.serving():
        text = await connector.draft(service.system())
    entities = YAML(typ="safe").load(text)["entities"]
    assert entities["things"]["fields"]["at"]["type"] == field_type


@pytest.mark.parametrize("declared", [True, False])
def test_a_finer_time_is_a_text_where_that_is_declared_and_else_refused(*, declared: bool) -> None:
    table = build_table(parse_metadata(document(FINE)), TableUse("Things"))
    at = FieldSpec("at", ("at",), FieldType("string") if declared else None)
    spec = EntitySpec("erp", "thing", "Things", fields=(FieldSpec("id", ("id",)), at))
    entity = EntityTable(spec, entity_type(spec, table.shape), table.shape)
    raw = table.row({"id": "a", "at": "2026-05-01T10:00:00.1234567Z"})
    if declared:
        assert entity.row(table.shape, raw)["at"] == "2026-05-01T10:00:00.1234567Z"
    else:
        with pytest.raises(RowError, match="declare `type: string`, which keeps its digits"):
            entity.row(table.shape, raw)


@pytest.mark.parametrize(
    ("facets", "version", "field_type"),
    [
        ('Precision="15" Scale="2"', "v4", "decimal(15,2)"),
        ('Precision="15" Scale="0"', "v4", "decimal(15,0)"),
        ('Precision="15"', "v4", "string"),
        ('Precision="15"', "v2", "string"),
        ("", "v4", "string"),
        ('Scale="variable"', "v4", "string"),
        ('Precision="15" Scale="Variable"', "v4", "string"),
        ('Precision="16" Scale="floating"', "v4", "string"),
    ],
)
def test_decimals_of_no_fixed_scale_are_drafted_as_text(
    facets: str, version: str, field_type: str
) -> None:
    service = parse_metadata(document(ID + prop("price", "Edm.Decimal", facets), version=version))
    entities = YAML(typ="safe").load(draft(service))["entities"]
    assert entities["things"]["fields"]["price"]["type"] == field_type


def order_service(*, constraint: bool = False) -> bytes:
    """Orders, items and their schedule lines in SAP's way: associations without constraints."""
    by = (
        '<ReferentialConstraint><Principal Role="F"><PropertyRef Name="SalesOrder"/></Principal>'
        '<Dependent Role="T"><PropertyRef Name="SalesOrder"/></Dependent></ReferentialConstraint>'
        if constraint
        else ""
    )
    return (
        '<edmx:Edmx Version="1.0" xmlns:edmx="x"><edmx:DataServices>'
        f'<Schema Namespace="N" xmlns="{V2}">'
        '<EntityType Name="OrderType"><Key><PropertyRef Name="SalesOrder"/></Key>'
        f"{prop('SalesOrder')}{prop('SoldToParty')}"
        '<NavigationProperty Name="to_Item" Relationship="N.A" FromRole="F" ToRole="T"/></EntityType>'
        '<EntityType Name="ItemType"><Key><PropertyRef Name="SalesOrder"/><PropertyRef Name="Item"/>'
        f"</Key>{prop('SalesOrder')}{prop('Item')}"
        '<NavigationProperty Name="to_Order" Relationship="N.A" FromRole="T" ToRole="F"/>'
        '<NavigationProperty Name="to_Line" Relationship="N.B" FromRole="F" ToRole="T"/></EntityType>'
        '<EntityType Name="LineType"><Key><PropertyRef Name="SalesOrder"/><PropertyRef Name="Item"/>'
        f'<PropertyRef Name="Line"/></Key>{prop("SalesOrder")}{prop("Item")}{prop("Line")}</EntityType>'
        f'<Association Name="A"><End Role="F" Type="N.OrderType" Multiplicity="1"/>'
        f'<End Role="T" Type="N.ItemType" Multiplicity="*"/>{by}</Association>'
        '<Association Name="B"><End Role="F" Type="N.ItemType" Multiplicity="1"/>'
        '<End Role="T" Type="N.LineType" Multiplicity="*"/></Association>'
        '<EntityContainer Name="C"><EntitySet Name="A_SalesOrder" EntityType="N.OrderType"/>'
        '<EntitySet Name="A_SalesOrderItem" EntityType="N.ItemType"/>'
        '<EntitySet Name="A_Line" EntityType="N.LineType"/>'
        '<AssociationSet Name="AS" Association="N.A"><End Role="F" EntitySet="A_SalesOrder"/>'
        '<End Role="T" EntitySet="A_SalesOrderItem"/></AssociationSet>'
        '<AssociationSet Name="BS" Association="N.B"><End Role="F" EntitySet="A_SalesOrderItem"/>'
        '<End Role="T" EntitySet="A_Line"/></AssociationSet></EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def test_relations_that_the_names_tell_are_suggested_as_comments() -> None:
    text = draft(parse_metadata(order_service()))
    entities = YAML(typ="safe").load(text)["entities"]
    assert not any("relations" in entity for entity in entities.values()), "nothing is guessed"
    uncommented = re.sub(r"^( *)# (relations:|to_\w+: \{)", r"\1\2", text, flags=re.MULTILINE)
    entities = YAML(typ="safe").load(uncommented)["entities"]
    declared = YAML(typ="safe").load(draft(parse_metadata(order_service(constraint=True))))[
        "entities"
    ]
    order = entities["a_sales_order"]["relations"]
    assert order == {"to_item": {"entity": "a_sales_order_item", "by": "sales_order"}}
    assert order == declared["a_sales_order"]["relations"]
    item = entities["a_sales_order_item"]["relations"]
    assert item == {"to_order": {"entity": "a_sales_order", "from": "sales_order"}}
    assert "# to_Line: left out, the metadata doesn't say by what" in text


def two_sets(own: str, target: str, nav: str, *, sets: str = "") -> bytes:
    """`Ones`, whose rows lead to one of `Twos`; properties by name, the first is the key."""
    types = "".join(
        f'<EntityType Name="{name}"><Key><PropertyRef Name="{names.split()[0]}"/></Key>'
        + "".join(map(prop, names.split()))
        + more
        + "</EntityType>"
        for name, names, more in (
            (
                "One",
                own,
                f'<NavigationProperty Name="{nav}" Relationship="N.A" FromRole="F" ToRole="T"/>',
            ),
            ("Two", target, ""),
        )
    )
    return (
        f'<edmx:Edmx Version="1.0" xmlns:edmx="x"><edmx:DataServices><Schema Namespace="N" xmlns="{V2}">'
        f'{types}<Association Name="A"><End Role="F" Type="N.One" Multiplicity="*"/>'
        '<End Role="T" Type="N.Two" Multiplicity="0..1"/></Association><EntityContainer Name="C">'
        '<EntitySet Name="Ones" EntityType="N.One"/><EntitySet Name="Twos" EntityType="N.Two"/>'
        f"{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


@pytest.mark.parametrize(
    ("own", "target", "nav", "field"),
    [
        ("ID Customer_ID", "ID", "Customer", "customer_id"),
        ("ID CustomerID", "ID", "to_Customer", "customer_id"),
        ("Order SoldToParty", "Customer", "to_SoldToParty", "sold_to_party"),
        ("Order Customer", "Customer", "to_Partner", "customer"),
        ("ID", "ID", "Customer", ""),
        ("ID Other", "ID", "Customer", ""),
    ],
)
def test_a_property_that_is_called_like_what_it_leads_to_is_suggested(
    own: str, target: str, nav: str, field: str
) -> None:
    text = draft(parse_metadata(two_sets(own, target, nav)))
    suggested = re.findall(r"# \w+: \{entity: twos, from: (\w+)\}  # by their names", text)
    assert suggested == ([field] if field else [])


def test_float_of_sap_is_a_double() -> None:
    [things] = parse_metadata(document(ID + prop("x", "Edm.Float"), version="v2")).sets.values()
    assert things.properties["x"].edm == "Edm.Double"


RAP = """<edmx:Reference Uri="x"><edmx:Include Namespace="Org.OData.Capabilities.V1" Alias="SAP__cap"/>
</edmx:Reference>"""


def test_ranges_that_may_be_asked_for_once_are_no_refusal() -> None:
    """S/4's V4 services announce `SingleRange` for times of change, under aliases of their own."""
    terms = (
        '<Annotations Target="SAP__self.C/Things"><Annotation Term="SAP__cap.FilterRestrictions"><Record>'
        '<PropertyValue Property="FilterExpressionRestrictions"><Collection><Record>'
        '<PropertyValue Property="Property" PropertyPath="LastChangeDateTime"/>'
        '<PropertyValue Property="AllowedExpressions" String="SingleRange"/></Record></Collection>'
        '</PropertyValue><PropertyValue Property="NonFilterableProperties"><Collection>'
        "<PropertyPath>__EntityControl</PropertyPath></Collection></PropertyValue></Record></Annotation>"
        '<Annotation Term="SAP__cap.DeleteRestrictions"><Record><PropertyValue Property="Deletable"'
        ' Path="__EntityControl/Deletable"/></Record></Annotation></Annotations>'
    )
    text = document(ID + prop("LastChangeDateTime", "Edm.DateTimeOffset"), more=terms).decode()
    text = text.replace("<edmx:DataServices>", f"{RAP}<edmx:DataServices>")
    text = text.replace('<Schema Namespace="N"', '<Schema Namespace="N" Alias="SAP__self"')
    [things] = parse_metadata(text.encode()).sets.values()
    assert things.changed == "LastChangeDateTime"
    assert things.can_page_by("LastChangeDateTime")
    assert things.deletable
    assert things.unfilterable == {"__EntityControl"}


class _Versions:
    """One row with an ETag, which somebody else changes `times` times just after it was read."""

    def __init__(self, times: int) -> None:
        self.row: dict[str, Any] = {"id": 5, "note": "a", "state": "open"}
        self._version, self._left = 1, times

    @property
    def _etag(self) -> str:
        return f'W/"{self._version}"'

    def __call__(self, request: ForwardedRequest) -> CannedResponse:
        path = request.path.removeprefix("/erp/")
        if path == "$metadata":
            properties = prop("id", "Edm.Int32") + prop("note") + prop("state")
            return CannedResponse(200, document(properties), {"Content-Type": "application/xml"})
        if request.method == "GET":
            body = json.dumps({**self.row, "@odata.etag": self._etag}).encode()
            if self._left:
                self._left -= 1
                self._version += 1
                self.row["state"] = f"changed, {self._left} to come"
            return CannedResponse(200, body, {"Content-Type": "application/json"})
        if request.headers.get("if-match") not in {self._etag, "*"}:
            return CannedResponse(412)
        self.row |= json.loads(request.body)
        self._version += 1
        return CannedResponse(204)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(("times", "outcome"), [(2, "done"), (3, "conflict")])
async def test_a_row_that_somebody_changes_meanwhile_is_read_anew(
    times: int, outcome: str, *, guarded: bool
) -> None:
    """What the command expects still holds: it is no conflict that another column changed."""
    service = _Versions(times)
    seen: list[Any] = []

    def guard(_: Shape | None, raw: Any) -> None:
        seen.append(raw)

    between = alone(service)
    async with between.serving():
        url = f"{between.address}/erp/"
        writer = ODataWriter(
            System("acme", "erp", url, url, ODataOptions(), (TableUse("Things"),), 2)
        )
        command = effect("PATCH Things(5) note='b'", guard if guarded else None, {"id": 5})
        [done] = await writer.execute([command])
        await writer.close()
    if outcome == "done":
        assert isinstance(done, Done), done
        assert service.row == {"id": 5, "note": "b", "state": "changed, 0 to come"}
    else:
        assert isinstance(done, Rejected), done
        assert done.code == "conflict"
        assert service.row["note"] == "a"
    assert len(seen) == (3 if guarded else 0)


async def test_of_two_changes_of_one_row_the_first_alone_names_its_version() -> None:
    """The first of them gives the row another version, under which the second would be refused."""
    properties = prop("id", "Edm.Int32") + prop("note") + prop("state")
    row = {"id": 5, "note": "a", "state": "open", "@odata.etag": 'W/"1"'}
    service = FixedAnswers(
        document(properties), {"GET Things(": (200, row), "POST $batch": CannedResponse(501)}
    )
    async with service.between.serving():
        writer = ODataWriter(service.system())
        command = effect("PATCH Things(5) note='b'; PATCH Things(5) state='c'", None, {"id": 5})
        await writer.execute([command])
        await writer.close()
    batches = [
        request.body for request in service.between.requests if request.path.endswith("$batch")
    ]
    assert batches
    assert {body.lower().count(b"if-match") for body in batches} == {1}


async def test_the_etag_of_an_answer_is_none_of_the_row() -> None:
    """Web servers and proxies give each answer one, and no service knows it."""
    row = json.dumps({"id": 5, "note": "a"}).encode()
    headers = {"Content-Type": "application/json", "ETag": 'W/"1d-gzip"'}

    class Proxied(FixedAnswers):
        def answer(self, request: ForwardedRequest) -> CannedResponse:
            if request.method == "PATCH":
                return CannedResponse(412 if "if-match" in request.headers else 204)
            return super().answer(request)

    metadata = document(prop("id", "Edm.Int32") + prop("note"))
    service = Proxied(metadata, {"GET Things(": CannedResponse(200, row, headers)})
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("PATCH Things(5) note='b'", None, {"id": 5})])
        await writer.close()
    assert isinstance(done, Done), done
