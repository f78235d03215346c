"""`bridgectl schema import tryton URL` writes a file that `bridgectl check` passes untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.bad_input.guarded_bridge import Answer, GuardedBridge
from tests.services.tryton import OUTSIDER, PASSWORD, Tryton


@pytest.fixture
def bridge_folder(tmp_path: Path) -> GuardedBridge:
    """A bridge without any system."""
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///bridge.db\nsystems: systems/*.yaml\n"
    )
    return GuardedBridge(tmp_path, {"ERP_PASSWORD": PASSWORD})


def run_import(
    bridge_folder: GuardedBridge, tryton: Tryton, *words: str, user: str = "admin"
) -> Answer:
    file = bridge_folder.folder / "systems" / "erp.yaml"
    url = tryton.url_of(user, "${env:ERP_PASSWORD}")
    return bridge_folder.inside("schema", "import", "tryton", url, "-o", str(file), *words)


def imported(
    bridge_folder: GuardedBridge, tryton: Tryton, *words: str, **more: str
) -> tuple[str, dict[str, Any]]:
    """What the import writes: its text and what it says."""
    result = run_import(bridge_folder, tryton, *words, **more)
    assert result.code == 0, result
    written = (bridge_folder.folder / "systems" / "erp.yaml").read_text()
    read: dict[str, Any] = YAML(typ="safe").load(written)
    assert f"entities: {len(read['entities'])}." in result.err
    return written, read


def test_what_business_users_know_is_imported_and_passes_untouched(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    written, read = imported(bridge_folder, tryton)
    assert set(read["entities"]) == {
        "party",
        "party_address",
        "party_contact_mechanism",
        "product_template",
        "product",
        "product_category",
        "product_uom",
        "sale",
        "sale_line",
        "stock_location",
        "stock_move",
        "stock_shipment_out",
        "account_invoice",
        "account_invoice_line",
    }
    sale = read["entities"]["sale"]
    assert (sale["from"], sale["key"], sale["version"]) == ("sale.sale", ["id"], "version")
    assert sale["fields"]["version"] == {"from": "_timestamp", "type": "string"}
    assert sale["fields"]["party"] == {"from": "party", "type": "integer"}
    assert sale["relations"]["lines"] == {"entity": "sale_line", "by": "sale"}
    assert sale["relations"]["party"] == {"entity": "party", "from": "party"}
    assert "total_amount" not in sale["fields"]
    assert "# Left out, a function field that can't be searched: it is not in the table:" in written
    assert "total_amount," in written
    assert read["entities"]["sale_line"]["relations"]["product"]["entity"] == "product"
    assert "name" not in read["entities"]["product"]["fields"]
    assert read["entities"]["product_template"]["fields"]["name"]["type"] == "string"
    assert "# invoice_report_cache: {from: invoice_report_cache, type: bytes}" in written
    assert "# State (selection) draft, quotation, confirmed, processing, done, cancelled" in written
    result = bridge_folder.inside("check")
    assert result.code == 0, result
    assert PASSWORD not in written
    bridge_folder.stores_no_secret()


def test_the_commands_of_a_draft_are_right_when_they_are_uncommented(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    written, _ = imported(bridge_folder, tryton, "--entities", "sale.sale,party.party")
    head, mark, commands = written.partition("# commands:\n")
    assert mark
    lines = ["commands:", *(line[2:] for line in commands.splitlines())]
    (bridge_folder.folder / "systems" / "erp.yaml").write_text(f"{head}{chr(10).join(lines)}\n")
    read = YAML(typ="safe").load((bridge_folder.folder / "systems" / "erp.yaml").read_text())
    assert {"order_for_party", "note_sale", "quote_sale", "confirm_sale", "process_sale"} <= set(
        read["commands"]
    )
    assert read["commands"]["confirm_sale"] == {
        "entity": "sale",
        "run": "BUTTON sale.sale(:key)/confirm",
        "probe": "FIND sale.sale(:key) state=['confirmed', 'processing', 'done']",
    }
    result = bridge_folder.inside("check")
    assert result.code == 0, result


def test_only_what_is_named_is_imported_and_a_model_that_is_not_there_is_told(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    result = run_import(bridge_folder, tryton, "--entities", "sale.sales,sale.line")
    assert result.code != 0
    assert "Tryton has no model 'sale.sales'; did you mean 'sale.sale'" in result.err
    written, read = imported(bridge_folder, tryton, "--entities", "sale.line")
    assert set(read["entities"]) == {"sale_line"}
    assert "Other models that it refers to:" in written


def test_what_the_user_may_not_read_is_left_out_and_says_so(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    written, read = imported(bridge_folder, tryton, user=OUTSIDER)
    assert "party" in read["entities"]
    assert "sale" not in read["entities"]
    assert '# sale.sale: model.sale.sale.search_read: You are not allowed to access "Sale".' in (
        written
    )
    result = bridge_folder.inside("check")
    assert result.code == 0, result
    assert "this user may not read ir.model.log" in " ".join(result.text.split())
