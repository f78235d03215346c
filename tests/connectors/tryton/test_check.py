"""`bridgectl check`: what is wrong with a system, its models and its commands, in a sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.connector import Finding, TableUse
from bridge.model.specs import CommandSpec
from connectors.tryton.connector import connector
from tests.bad_input.guarded_bridge import GuardedBridge
from tests.connectors.tryton.erp import USES, system
from tests.services.tryton import CLERK, OUTSIDER, PASSWORD, Tryton


async def findings_of(url: str, *uses: TableUse, **options: object) -> list[Finding]:
    return await connector.check(system(url, tables=uses or USES, options=options))


async def test_nothing_is_wrong_where_everything_can_be_read(tryton: Tryton) -> None:
    assert await findings_of(tryton.url) == []
    means = await connector.describe_change_detection(system(tryton.url))
    assert means["sale.sale"] == (
        "create_date and write_date with 300 s overlap, every 2 s; deletions by ir.model.log, "
        "and by comparing ids every 600 s"
    )


async def test_all_that_is_wrong_with_models_and_fields_is_told_at_once(tryton: Tryton) -> None:
    findings = await findings_of(
        tryton.url,
        TableUse("sale.nope"),
        TableUse("sale.sale", (), ("id", "total", "total_amount", "lines")),
        TableUse("sale.line", ("sale", "sequence"), ("id", "sale", "sequence")),
        TableUse("sale.return_sale.start"),
        contexts={"product.product": {}},
    )
    text = "\n".join(finding.what for finding in findings)
    for words in (
        "capture.contexts names 'product.product', which no entity uses",
        "Tryton has no model 'sale.nope': correct the name, or activate the module",
        "model 'sale.sale': there is no field 'total'",
        "field 'total_amount' can't be used: a function field",
        "field 'lines' can't be used: one2many of sale.line: rows of their own model",
        "model 'sale.return_sale.start' is not stored in a table",
        "the key of model 'sale.line' is sale, sequence",
    ):
        assert words in text
    assert [finding.fatal for finding in findings] == [True] * 6 + [False]


async def test_what_the_user_may_not_read_is_told_with_the_way_out(tryton: Tryton) -> None:
    [log] = await findings_of(tryton.url_of(CLERK))
    assert "may not read ir.model.log, so deletions are only found by comparing ids" in log.what
    assert (log.fatal, "an administrator of Tryton" in log.fix) == (False, True)
    means = await connector.describe_change_detection(system(tryton.url_of(CLERK)))
    assert means["sale.sale"].endswith("deletions by comparing ids every 600 s")
    sale, *_ = await findings_of(tryton.url_of(OUTSIDER), TableUse("sale.sale"))
    assert 'You are not allowed to access "Sale"' in sale.what
    assert (sale.fatal, "the right to read sale.sale" in sale.fix) == (True, True)


async def test_fields_that_change_without_their_row_are_told(tryton: Tryton) -> None:
    use = TableUse("product.product", (), ("id", "code", "name", "quantity"))
    [finding] = await findings_of(tryton.url, use)
    assert "Tryton computes name, quantity from other fields" in finding.what
    assert not finding.fatal
    template = TableUse("product.template", (), ("id", "name", "write_date"))
    assert await findings_of(tryton.url, template) == []


async def test_a_login_that_is_refused_is_told_once(tryton: Tryton) -> None:
    [finding] = await findings_of(tryton.url_of("stranger", "guessed"))
    assert "refuses user 'stranger' of database 'erp'" in finding.what


SYSTEM = """\
system: erp
connector: tryton
url: {url}
entities:
  sale:
    from: sale.sale
    key: [id]
    fields:
      id: {{from: id, type: integer}}
      party: {{from: party, type: integer}}
    relations:
      customer: {{entity: {customer}, from: party}}
  party: {{from: party.party}}
commands:
  {name}:
    entity: sale
    args: {{text: {{type: string}}}}
    run: "{run}"
    probe: "{probe}"
"""
RIGHT = "WRITE sale.sale(:key) comment=:text"
FIND = "FIND sale.sale(:key) comment=:text"


@pytest.fixture
def bridge_folder(tmp_path: Path) -> GuardedBridge:
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///bridge.db\nsystems: erp.yaml\n"
    )
    return GuardedBridge(tmp_path, {"ERP_PASSWORD": PASSWORD})


def check_output(
    bridge_folder: GuardedBridge,
    tryton: Tryton,
    run: str = RIGHT,
    probe: str = FIND,
    customer: str = "party",
) -> tuple[int, str]:
    url = tryton.url_of("admin", "${env:ERP_PASSWORD}")
    (bridge_folder.folder / "erp.yaml").write_text(
        SYSTEM.format(url=url, name="note", run=run, probe=probe, customer=customer)
    )
    done = bridge_folder.inside("check")
    return done.code, " ".join(done.text.split())


WRONG = {
    "WRITE sale.sale(:key) coment=:text": "model 'sale.sale' has no field 'coment'; did you mean",
    "WRITE sale.sals(:key) comment=:text": "Tryton has no model 'sale.sals'",
    "WRITE sale.sale(:key) state='lost', comment=:text": "expected one of draft, quotation, confirmed",
    "WRITE sale.sale(:key) lines=[(product=1, qty=:text)]": "'sale.line' has no field 'qty'",
    "WRITE sale.sale(:key) lines=7, comment=:text": "expected a list, [...]",
    "WRITE sale.sale(:key) write_date=:text": "Tryton fills in 'write_date' itself",
    "WRITE sale.sale(:key) total_amount=:text": "field 'total_amount' can't be used here",
    "WRITE sale.sale(nr=:key) comment=:text": "has no field 'nr'",
    "WRITE sale.sale comment=:text": "WRITE names its row: WRITE sale.sale(:key)",
    "BUTTON sale.sale(:key)/confirmed": "no button 'confirmed'; did you mean 'confirm'",
    "BUTTON sale.sale(:key)": "BUTTON names a row and its button",
    "PATCH sale.sale(:key) comment=:text": "it should begin with one of CREATE, WRITE, DELETE",
    "WRITE sale.sale(:key) comment=:text; DELETE sale.sale(:key)": "a command is one statement",
    "FIND sale.sale(:key) comment=:text": "FIND changes nothing: it belongs in `probe:`",
}


async def test_commands_are_held_against_the_erp_s_own_models(tryton: Tryton) -> None:
    """In one process: each start of the command line costs a second."""
    commands = [
        CommandSpec("erp", f"c{at}", "sale", run, probe=FIND) for at, run in enumerate(WRONG)
    ]
    right = (
        "CREATE sale.sale party=:key, reference=:id, lines=[(product=1, quantity=2.5, taxes=[1])]",
        "WRITE sale.sale(reference=:key) sale_date='2026-01-31', lines=[(id=1, quantity=:text)]",
        "BUTTON sale.sale(:key)/quote despite 'a.b', 'it''s'",
        "DELETE sale.line(:key)",
    )
    commands += [CommandSpec("erp", f"r{at}", "sale", run) for at, run in enumerate(right)]
    commands.append(CommandSpec("erp", "probe", "sale", right[3], probe=RIGHT))
    commands.append(CommandSpec("erp", "asks", "sale", right[3], probe="FIND sale.sale state=[1]"))
    problems = await connector.check_commands(system(tryton.url), commands)
    texts = {(problem.command, problem.where): problem.what for problem in problems}
    for at, words in enumerate(WRONG.values()):
        assert words in texts.pop((f"c{at}", "run"))
    assert texts.pop(("probe", "probe")) == "`probe:` may only use FIND"
    assert "expected one of draft" in texts.pop(("asks", "probe"))
    assert texts == {}


async def test_what_the_user_may_not_do_is_told_before_a_command_comes(tryton: Tryton) -> None:
    commands = [
        CommandSpec(
            "erp", "make", "party", "CREATE party.party name='x'", probe="FIND party.party id=1"
        ),
        CommandSpec("erp", "press", "sale", "BUTTON sale.sale(:key)/quote"),
        CommandSpec("erp", "drop", "sale", "DELETE sale.sale(:key)"),
    ]
    problems = await connector.check_commands(system(tryton.url_of(OUTSIDER)), commands)
    assert {problem.command: problem.what.partition(":")[0] for problem in problems} == {
        "press": "this user may not read rows of 'sale.sale'",
        "drop": "this user may not delete rows of 'sale.sale'",
    }


def test_the_command_line_tells_place_and_line(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    code, output = check_output(bridge_folder, tryton)
    assert code == 0, output
    code, output = check_output(bridge_folder, tryton, run="WRITE sale.sale(:key) coment=:text")
    assert code != 0
    assert "erp.yaml:18" in output
    assert "has no field 'coment'; did you mean 'comment'" in output


def test_a_relation_to_an_undeclared_entity_is_told(
    tryton: Tryton, bridge_folder: GuardedBridge
) -> None:
    code, output = check_output(bridge_folder, tryton, customer="customer")
    assert code == 2
    assert "relation 'customer' leads to 'customer', which is not declared" in output
