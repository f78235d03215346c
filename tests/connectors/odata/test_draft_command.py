"""`bridgectl schema import odata URL` writes a file that `bridgectl check` passes untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.bad_input.guarded_bridge import Answer, GuardedBridge
from tests.connectors.odata import northwind_service
from tests.http_proxy import alone, standing
from tests.services.cap import PASSWORD, Cap
from tests.services.odatapy import Odatapy


@pytest.fixture
def workspace(tmp_path: Path) -> GuardedBridge:
    """A bridge without any system."""
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///bridge.db\nsystems: systems/*.yaml\n"
    )
    return GuardedBridge(tmp_path, {"ERP_PASSWORD": PASSWORD})


def imported(workspace: GuardedBridge, url: str, *words: str) -> tuple[str, dict[str, Any]]:
    """What the import writes: its text and what it says."""
    file = workspace.folder / "systems" / "erp.yaml"
    url = url.replace(PASSWORD, "${env:ERP_PASSWORD}")
    done = workspace.inside("schema", "import", "odata", url, "-o", str(file), *words)
    assert done.code == 0, done
    written = file.read_text()
    assert not words or written.count(PASSWORD) == 0
    read: dict[str, Any] = YAML(typ="safe").load(written)
    assert f"entities: {len(read['entities'])}." in done.err
    return written, read


def passes(workspace: GuardedBridge) -> Answer:
    """`check`, against the service too; it changes nothing."""
    before = (workspace.folder / "systems" / "erp.yaml").read_text()
    done = workspace.inside("check")
    assert done.code == 0, done
    assert (workspace.folder / "systems" / "erp.yaml").read_text() == before
    workspace.stores_no_secret()
    return done


@pytest.mark.parametrize("version", ["v4", "v2"])
def test_the_bookshop_as_visitors_see_it(cap: Cap, workspace: GuardedBridge, version: str) -> None:
    written, read = imported(workspace, service(cap, "catalog", version))
    assert set(read["entities"]) == {"books", "list_of_books", "genres", "currencies"}
    books = read["entities"]["books"]
    assert books["key"] == ["id"]
    assert books["version"] == "modified_at"
    assert books["fields"]["price"] == {"from": "price", "type": "decimal(9,2)"}
    assert books["relations"]["currency"] == {"entity": "currencies", "from": "currency_code"}
    assert read["entities"]["genres"]["relations"] == {
        "parent": {"entity": "genres", "from": "parent_id"},
        "children": {"entity": "genres", "by": "parent_id"},
    }
    # The metadata lists the translations, and the service refuses to have them read.
    assert "# Books_texts: it can't be read: GET Books_texts: 405: Entity" in written
    assert "CALL submitOrder book=:book, quantity=:quantity" in written
    assert "books is captured by modifiedAt" in passes(workspace).text


@pytest.mark.parametrize("version", ["v4", "v2"])
def test_the_bookshop_with_drafts_and_compositions(
    cap: Cap, workspace: GuardedBridge, version: str
) -> None:
    written, read = imported(workspace, service(cap, "admin", version))
    assert set(read["entities"]) == {"books", "authors", "genres", "currencies", "chapters"}
    assert read["entities"]["books"]["key"] == ["id", "is_active_entity"]
    assert read["entities"]["authors"]["relations"] == {
        "books": {"entity": "books", "by": "author_id"}
    }
    assert "      # chapters: left out, " in written
    # A draft that is saved is a change of the row: what V2 calls at the root names it, too.
    edit = {
        "v4": "CALL Books(ID=:key_id, IsActiveEntity=:key_is_active_entity)/bookshop.Admin.draftEdit "
        "PreserveChanges=:preserve_changes",
        "v2": "CALL Books_draftEdit ID=:key_id, IsActiveEntity=:key_is_active_entity, "
        "PreserveChanges=:preserve_changes",
    }
    assert edit[version] in written
    passes(workspace)


def test_cap_s_erp(cap: Cap, workspace: GuardedBridge) -> None:
    _, read = imported(workspace, cap.url)
    assert len(read["entities"]) == 8
    assert "orders is captured by modifiedAt" in passes(workspace).text


def test_odatapy_s_model(odatapy: Odatapy, workspace: GuardedBridge) -> None:
    _, read = imported(workspace, odatapy.url)
    assert len(read["entities"]) == 5
    assert "orders is captured by delta links" in passes(workspace).text


@pytest.mark.parametrize("version", ["v4", "v2"])
def test_a_company_in_the_shape_of_northwind(workspace: GuardedBridge, version: str) -> None:
    document = {"v4": northwind_service.v4, "v2": northwind_service.v2}[version]()
    between = alone(lambda request: northwind_service.answer(request, version, document))
    with standing(between):
        written, read = imported(workspace, f"{between.address}/traders/")
        assert set(read["entities"]) == {
            "categories",
            "suppliers",
            "products",
            "customers",
            "employees",
            "orders",
            "order_details",
            "alphabetical_list_of_products",
        }
        details = read["entities"]["order_details"]
        assert details["key"] == ["order_id", "product_id"]
        assert details["relations"] == {
            "order": {"entity": "orders", "from": "order_id"},
            "product": {"entity": "products", "from": "product_id"},
        }
        assert read["entities"]["employees"]["relations"] == {
            "employee1": {"entity": "employees", "from": "reports_to"},
            "employees1": {"entity": "employees", "by": "reports_to"},
            "orders": {"entity": "orders", "by": "employee_id"},
        }
        assert read["entities"]["categories"]["fields"]["picture"]["type"] == "bytes"
        for expected_text in (
            "# $value: left out, a media stream, which the log can't hold",
            "# Order_Details_Extendeds: its key Discount is a float, which can't be a key",
            "# Sales_Totals_by_Amounts: an entity without a key: its rows can't be distinguished",
        ):
            assert expected_text in written
        passes(workspace)


def service(cap: Cap, name: str, version: str) -> str:
    """Another service of the server."""
    url = cap.url if version == "v4" else cap.v2
    return url.replace("/erp/", f"/{name}/")
