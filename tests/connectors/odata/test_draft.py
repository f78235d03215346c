"""Drafts of system files pass `bridgectl check` as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bridge.config.draft_request import DraftRequest, check_draft
from bridge.config.models import SystemModel
from bridge.model.errors import ConfigurationError
from bridge.wiring.draft_system import draft_system
from connectors.erp.yaml_text import comment_lines, yaml_scalar
from connectors.odata.commands.binding import statement_problems
from connectors.odata.connector import connector
from connectors.odata.draft.system_file import draft
from connectors.odata.metadata.document import parse_metadata
from tests.connectors.odata.metadata_documents import JSON, V2, V4
from tests.connectors.odata.things_service import FINE, ID, FixedAnswers, document, prop
from tests.services.cap import PASSWORD, Cap
from tests.services.odatapy import Odatapy

HEAD = "system: erp\nconnector: odata\nurl: https://erp/service/\n"


def read(metadata: bytes, *wanted: str) -> tuple[str, SystemModel]:
    """A draft and what it means."""
    written = draft(parse_metadata(metadata), wanted)
    return written, check_draft(HEAD + written, "erp.yaml")


@pytest.mark.parametrize("metadata", [V2, V4, JSON])
def test_a_draft_is_right_as_it_is_and_with_its_commands_uncommented(metadata: bytes) -> None:
    written, model = read(metadata)
    assert model.entities
    head, mark, commands = written.partition("# commands:\n")
    if mark:
        lines = ["commands:", *(line[2:] for line in commands.splitlines())]
        declared = check_draft(f"{HEAD}{head}{chr(10).join(lines)}\n", "erp.yaml").commands
        assert declared
        service = parse_metadata(metadata)
        for command in declared.values():
            assert statement_problems(command.run, service) == []


def test_parameters_of_v2_that_name_the_row_are_its_key() -> None:
    """Whatever else they are called, no argument has a name that commands have for themselves."""
    declared = b"""<FunctionImport Name="Move" m:HttpMethod="POST"
      xmlns:sap="http://www.sap.com/Protocols/SAPData" sap:action-for="TradeModel.Order_Detail">
     <Parameter Name="ProductID" Type="Edm.Int32"/><Parameter Name="OrderID" Type="Edm.Int32"/>
     <Parameter Name="KeyDate" Type="Edm.DateTime"/><Parameter Name="ID" Type="Edm.String"/>
     <Parameter Name="Key" Type="Edm.String"/>
    </FunctionImport></EntityContainer>"""
    document = V2.replace(b"</EntityContainer>", declared)
    written, _ = read(document)
    assert "CALL Release OrderID=:key, Note=:note" in written
    assert "#   move:\n#     entity: order_details\n" in written
    call = (
        "CALL Move ProductID=:key_product_id, OrderID=:key_order_id, KeyDate=:its_key_date, "
        "ID=:its_id, Key=:its_key"
    )
    assert call in written
    assert statement_problems(call, parse_metadata(document)) == []


def test_names_are_made_fit_and_unique() -> None:
    _, model = read(V4)
    customer = model.entities["customers"]
    assert {name: field.from_ for name, field in customer.fields.items()} == {
        "id": ["Id"],
        "modified_on": ["ModifiedOn"],
        "no": ["no"],
        "name": ["Name"],
        "name_2": ["name"],
    }


def test_v2_s_entities_have_keys_types_relations_and_versions() -> None:
    written, model = read(V2)
    orders = model.entities["orders"]
    assert (orders.from_, orders.key, orders.version) == (
        "Orders",
        ["order_id"],
        "last_change_date_time",
    )
    assert orders.fields["freight"].type == "decimal(19,4)"
    assert orders.fields["ship_to_city"].from_ == ["ShipTo/City"]
    assert set(orders.relations) == {"customer", "order_details"}
    assert orders.relations["order_details"].by == "order_id"
    assert model.entities["order_details"].key == ["order_id", "product_id"]
    assert set(model.entities) == {"customers", "orders", "order_details", "employees"}
    for expected_text in (
        "# Alphabetical_lists: an entity without a key",
        "# Shippers: it can only be read through",
        "# Shipper: left out, it leads to no entity set",
        "# Desk: left out, the type Edm.GeographyPoint",
        "#   release:",
    ):
        assert expected_text in written


def test_v4_s_key_that_no_log_can_have_is_left_out_with_its_reason() -> None:
    written, model = read(V4)
    assert set(model.entities) == {"orders", "customers"}
    assert "# Measures: its key At is a double" in written
    assert "CALL Orders(:key)/Trade.Model.Confirm reason=:reason" in written
    assert "without lines (Trade.Model.Line)" in written


def test_only_what_is_wanted_is_drafted_and_relations_to_the_rest_are_named() -> None:
    written, model = read(V4, "Orders")
    assert set(model.entities) == {"orders"}
    assert not model.entities["orders"].relations
    assert "Customer: left out, Customers is not declared here" in written


def test_texts_of_a_service_can_not_leave_their_place() -> None:
    """Names come from outside: they are quoted, and comments stay comments."""
    assert [yaml_scalar(text) for text in ("Orders", "no", "a: b", "x#", "1e3", "")] == [
        "Orders",
        '"no"',
        '"a: b"',
        '"x#"',
        '"1e3"',
        '""',
    ]
    assert list(comment_lines("x\nentities: {}", 2)) == ["  # x entities: {}"]
    assert all(line.startswith("    # ") for line in comment_lines("word " * 80, 4))


@pytest.mark.parametrize("version", ["v4", "v2"])
async def test_cap_s_erp_is_drafted_by_the_connector(
    cap: Cap, version: str, tmp_path: Path
) -> None:
    url = cap.url.replace(PASSWORD, "${env:ERP_PASSWORD}")
    url = url if version == "v4" else url.replace("/v4/", "/v2/")
    draft_request = DraftRequest("erp", "odata", url, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERP_PASSWORD", PASSWORD)
        written, count = await draft_system(draft_request, "erp.yaml")
    assert count == 8
    assert PASSWORD not in written
    assert "lines: {entity: lines, by: order_id}" in written
    assert "product: {entity: products, from: product_id}" in written
    assert "# photo: left out, a stream" in written or version == "v2"


async def test_odatapy_s_service_is_drafted_by_the_connector(
    odatapy: Odatapy, tmp_path: Path
) -> None:
    written, count = await draft_system(
        DraftRequest("erp", "odata", odatapy.url, tmp_path), "erp.yaml"
    )
    assert count == 5
    assert "customer: {entity: customers, from: customer_id}" in written


async def test_a_set_that_is_not_there_is_named(odatapy: Odatapy, tmp_path: Path) -> None:
    draft_request = DraftRequest("erp", "odata", odatapy.url, tmp_path, ("Ordes",))
    with pytest.raises(ConfigurationError, match=r"'Ordes' is not.*did you mean 'Orders'"):
        await draft_system(draft_request, "erp.yaml")


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
