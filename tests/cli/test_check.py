"""`bridgectl check`: every problem at once, with its place and what fixes it."""

from tests.cli.bridge_folder import BridgeFolder
from tests.cli.check_rows import edit, wrong


def test_all_is_well_after_setup(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 0
    assert {row["severity"] for row in checked.rows} == {"ok"}
    assert not (bridge_folder.folder / "var" / "bridge.db").exists()


def test_what_a_system_lacks_comes_with_the_statements_that_make_it(
    bridge_folder: BridgeFolder,
) -> None:
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 1
    missing = [row for row in checked.rows if row["setup_can_fix"]]
    assert any("CREATE TRIGGER" in row["fix"] for row in missing)
    assert "bridgectl setup erp --show" in bridge_folder.call("check").out
    assert bridge_folder.call("check", "--offline").code == 0


def test_every_problem_of_the_files_is_told_at_once(bridge_folder: BridgeFolder) -> None:
    edit(bridge_folder, "systems/erp.yaml", "key: order_no\n", "key: order_nr\n")
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "entity: sales_order\n    args",
        "entity: salesorder\n    args",
    )
    edit(bridge_folder, "systems/erp.yaml", "queries_per_second: 200", "queries_per_second: many")
    checked = bridge_folder.call("check", "--json", "--offline")
    assert checked.code == 2
    # A file whose shape is wrong is told first; what it means is asked of a file that has shape.
    assert [row["location"] for row in checked.rows] == ["systems/erp.yaml:5"]
    edit(bridge_folder, "systems/erp.yaml", "queries_per_second: many", "queries_per_second: 200")
    problems = wrong(bridge_folder, "--offline")
    assert len(problems) == 2
    assert all(row["location"].startswith("systems/erp.yaml:") for row in problems)


def test_a_key_that_the_catalogue_tells_must_lead_back_to_its_column(
    bridge_folder: BridgeFolder,
) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    edit(bridge_folder, "systems/erp.yaml", "    key: order_no\n", "")
    assert wrong(bridge_folder) == []
    twice = "order_no: {from: vbeln, map: {A: x, B: x}}"
    edit(bridge_folder, "systems/erp.yaml", "order_no:    {from: vbeln, zeros: 10}", twice)
    assert wrong(bridge_folder, "--offline") == []
    (problem,) = wrong(bridge_folder)
    assert "field 'order_no' is used in the key" in problem["message"]
    assert bridge_folder.call("check").code == 2


def test_statements_that_name_what_is_not_declared(bridge_folder: BridgeFolder) -> None:
    edit(bridge_folder, "systems/erp.yaml", "ztext = :reason", "ztext = :raeson")
    problems = wrong(bridge_folder, "--offline")
    assert bridge_folder.call("check", "--offline").code == 2
    text = (bridge_folder.folder / "systems" / "erp.yaml").read_text().splitlines()
    line = next(number for number, line in enumerate(text, 1) if ":raeson" in line)
    assert any(
        ":raeson" in row["message"] and row["location"] == f"systems/erp.yaml:{line}"
        for row in problems
    )
    assert any("'reason' isn't used" in row["message"] for row in problems)


def test_connectors_and_their_options(bridge_folder: BridgeFolder) -> None:
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "connector: journal  ",
        "capture: {pol_ms: 5}\nconnector: journal  ",
    )
    (only,) = wrong(bridge_folder, "--offline")
    assert "pol_ms" in only["message"]
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "capture: {pol_ms: 5}\nconnector: journal",
        "connector: jurnal",
    )
    (only,) = wrong(bridge_folder, "--offline")
    assert "journal" in only["hint"]


def test_entities_that_do_not_fit_their_tables(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    edit(bridge_folder, "systems/erp.yaml", "from: ztext", "from: ztxet")
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 2
    assert any(
        "ztxet" in row["message"] and row["location"].startswith("systems/erp.yaml:")
        for row in checked.rows
    )


def test_keys_whose_values_do_not_lead_back_to_the_source(bridge_folder: BridgeFolder) -> None:
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "customer_id:  {from: kunnr, zeros: 10}",
        "customer_id:  {from: kunnr, call: 'a:b', type: string}",
    )
    assert any("customer_id" in row["message"] for row in wrong(bridge_folder, "--offline"))


def test_a_system_that_is_away_is_a_sentence(bridge_folder: BridgeFolder) -> None:
    (bridge_folder.folder / "var" / "erp.db").unlink()
    checked = bridge_folder.call("check")
    assert checked.code == 1
    assert "erp.db" in checked.out
