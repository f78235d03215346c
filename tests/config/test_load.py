"""Configuration files: what loads, and what every mistake says."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.config import ConfigProblems, load
from bridge.model.specs import Tier
from bridge.model.types import FieldType, Relation
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write


def test_the_designs_own_files_load(tmp_path: Path) -> None:
    config = load(write(tmp_path), ENVIRON)
    assert (config.bridge, config.history_ms) == ("acme", 30 * 86_400_000)
    assert config.log.path == tmp_path / "var" / "bridge.db"
    (system,) = config.systems
    assert system.url.reveal() == "postgresql://bridge:s3cr3t%2Fp%40ss@erp-db:5432/erp"
    order = system.spec.entity("sales_order")
    assert (order.table, order.key) == ("vbak", ("order_no",))
    assert order.fields[3].type == FieldType("decimal", 15, 2)
    assert order.relations[0] == Relation("lines", "order_line", by="order_no")
    assert system.spec.entity("order_line").fields[1].columns == ("posnr",)
    (block,) = system.spec.commands
    assert (block.tier, block.guards) == (Tier.OUTSIDE_THE_LOOP, ("status", "total"))
    assert config.agents == (str(tmp_path / "agents" / "watch.py"),)


def test_commands_are_in_the_loop_unless_they_say_otherwise(tmp_path: Path) -> None:
    system = copy.deepcopy(SYSTEM)
    del system["commands"]["block_order"]["tier"]
    config = load(write(tmp_path, system=system), ENVIRON)
    assert config.systems[0].spec.commands[0].tier is Tier.IN_THE_LOOP


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    config = load(write(tmp_path), ENVIRON)
    for value in ENVIRON.values():
        assert value not in repr(config)
        assert value not in config.systems[0].shown_url


def test_kafka_is_one_line(tmp_path: Path) -> None:
    line = "kafka://k1:9092,k2:9092?registry=http://registry:8080/apis/ccompat/v7"
    config = load(write(tmp_path, bridge={**BRIDGE, "log": line}), ENVIRON)
    assert config.log.kafka is not None
    assert config.log.kafka.servers == ["k1:9092", "k2:9092"]
    assert config.log.kafka.registry is not None
    assert config.log.kafka.registry.url == "http://registry:8080/apis/ccompat/v7"


def test_kafka_in_long_form_keeps_its_password_secret(tmp_path: Path) -> None:
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "bridge",
        "password": "${env:KAFKA_PASSWORD}",
    }
    log = {"kafka": {"servers": ["k1:9092"], "security": security, "partitions": 6}}
    config = load(write(tmp_path, bridge={**BRIDGE, "log": log}), ENVIRON)
    assert config.log.secrets["security.password"].reveal() == "k4fka"
    assert "k4fka" not in repr(config)


def problems(path: Path, environ: dict[str, str] = ENVIRON) -> str:
    with pytest.raises(ConfigProblems) as caught:
        load(path, environ)
    return str(caught.value)


def test_a_missing_secret_is_named_with_file_and_line(tmp_path: Path) -> None:
    text = problems(write(tmp_path), {"MASK": "m"})
    assert text == (
        "systems/erp.yaml:3: url: the environment variable ERP_PASSWORD is not set "
        "(set it where bridgectl runs, or correct the name)"
    )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    system = copy.deepcopy(SYSTEM)
    system["entities"]["sales_order"]["key"] = "nope"
    system["entities"]["sales_order"]["relations"]["lines"]["entity"] = "gone"
    system["commands"]["block_order"]["entity"] = "missing"
    text = problems(write(tmp_path, system=system))
    assert len(text.splitlines()) == 3
    assert "key 'nope' is not a field" in text
    assert "relation 'lines' leads to 'gone', which is not declared" in text
    assert "command 'block_order' is for 'missing', which is not declared" in text


def test_a_bridge_file_that_is_elsewhere_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems, match=r"bridge\.yaml: can't be read.*-c FILE"):
        load(tmp_path / "bridge.yaml", ENVIRON)


def test_two_entities_on_one_table_are_refused(tmp_path: Path) -> None:
    """Both would tell each change under the same event id, and so derive the same command ids."""
    system = copy.deepcopy(SYSTEM)
    system["entities"]["customer"]["from"] = "vbak"
    text = problems(write(tmp_path, system=system))
    assert "entities 'sales_order' and 'customer' both use table 'vbak'" in text


def test_a_password_in_clear_is_refused_and_not_repeated(tmp_path: Path) -> None:
    system = {**SYSTEM, "url": "postgresql://bridge:hunter2@erp-db/erp"}
    text = problems(write(tmp_path, system=system))
    assert "holds a password in clear" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("bridge: [", "not valid YAML"),
        ("", "is empty or not a mapping"),
        ("- a", "is empty or not a mapping"),
        ("bridge: acme\nbridge: acme\n", "not valid YAML"),
        ("bridge: acme\nlog: redis://x\n", "is not a log"),
        ("bridge: acme\nlog: sqlite://host/x\n", "is not a log"),
        ("bridge: acme\nlog: kafka://me:pw@h:1\n", "holds a login"),
        ("bridge: acme\nlog: kafka://h:1?colour=red\n", "colour"),
    ],
)
def test_a_broken_bridge_file_says_what_and_where(tmp_path: Path, text: str, what: str) -> None:
    write(tmp_path)
    (tmp_path / "bridge.yaml").write_text(text, encoding="utf-8")
    problem_texts = problems(tmp_path / "bridge.yaml")
    assert what in problem_texts
    assert problem_texts.startswith("bridge.yaml")
    assert "pw" not in problem_texts


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all mapping values and list items."""
    if isinstance(data, dict):
        for name, item in data.items():
            yield (*path, name)
            yield from leaves(item, (*path, name))


def broken(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of `data` with `value` at `path`."""
    changed = copy.deepcopy(data)
    here = changed
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return changed


#: Open by design: the connector's own options, and the target side of value maps.
OPEN = [("capture",), ("entities", "sales_order", "fields", "status", "map")]


@pytest.mark.parametrize(
    ("which", "path"),
    [("bridge", path) for path in leaves(BRIDGE)]
    + [
        ("system", path)
        for path in leaves(SYSTEM)
        if not any(path[: len(part)] == part and len(path) > len(part) for part in OPEN)
    ],
    ids=lambda part: ".".join(map(str, part)) if isinstance(part, tuple) else part,
)
def test_every_field_that_is_wrong_is_named(
    tmp_path: Path, which: str, path: tuple[Any, ...]
) -> None:
    """A nonsense value in any place is one clear problem that names the place and its line."""
    wrong = [[["nonsense"]]]
    bridge = broken(BRIDGE, path, wrong) if which == "bridge" else None
    system = broken(SYSTEM, path, wrong) if which == "system" else None
    text = problems(write(tmp_path, bridge, system))
    assert ".".join(map(str, path)) in text
    assert "Traceback" not in text
    first = text.splitlines()[0]
    assert first.split(":")[0] in {"bridge.yaml", "systems/erp.yaml"}
    assert int(first.split(":")[1]) > 0


@pytest.mark.parametrize(
    "path",
    [path for path in leaves(SYSTEM) if len(path) in {1, 3} and path[0] != "capture"],
    ids=".".join,
)
def test_an_unknown_key_beside_any_other_is_named(tmp_path: Path, path: tuple[Any, ...]) -> None:
    where = (*path[:-1], "colour!")
    text = problems(write(tmp_path, system=broken(SYSTEM, where, 1)))
    assert "colour!" in text


@pytest.mark.parametrize(
    ("file", "wrong", "where", "text"),
    [
        ("bridge", {"histry": "30d"}, "histry", "did you mean 'history'?"),
        ("bridge", {"history": 30}, "history", "a number and s, m, h or d: 30d"),
        ("bridge", {"bridge": 7}, "bridge", "should be a text (put it in quotes)"),
        ("system", {"conector": "x"}, "conector", "did you mean 'connector'?"),
        ("entity", {"relation": {}}, "entities.sales_order.relation", "did you mean 'relations'?"),
        ("entity", {"form": "vbak"}, "entities.sales_order.form", "did you mean 'from'?"),
        (
            "field",
            {"fromm": "netwr"},
            "entities.sales_order.fields.total.fromm",
            "did you mean 'from'?",
        ),
        (
            "field",
            {"unit": 0.01},
            "entities.sales_order.fields.total.unit",
            "should be a text (put it in quotes)",
        ),
        (
            "command",
            {"guard": ["total"]},
            "commands.block_order.guard",
            "did you mean 'guards'?",
        ),
        (
            "argument",
            {"maxlength": 60},
            "commands.block_order.args.reason.maxlength",
            "did you mean 'max_length'?",
        ),
        (
            "bridge",
            {"log": {"kafka": {"server": ["k:9092"]}}},
            "log.kafka.server",
            "did you mean 'servers'?",
        ),
        ("bridge", {"zzz": 1}, "zzz", "see `bridgectl schema config`"),
    ],
)
def test_a_misspelt_key_or_a_number_for_a_text_says_what_was_meant(
    tmp_path: Path, file: str, wrong: dict[str, Any], where: str, text: str
) -> None:
    bridge, system = copy.deepcopy(BRIDGE), copy.deepcopy(SYSTEM)
    order, block = system["entities"]["sales_order"], system["commands"]["block_order"]
    block["args"] = {"reason": {"type": "string"}}
    order["fields"]["total"] = {"from": "netwr"}
    {
        "bridge": bridge,
        "system": system,
        "entity": order,
        "field": order["fields"]["total"],
        "command": block,
        "argument": block["args"]["reason"],
    }[file].update(wrong)
    with pytest.raises(ConfigProblems) as refused:
        load(write(tmp_path, bridge=bridge, system=system), ENVIRON)
    lines = {str(problem) for problem in refused.value.problems}
    assert any(f" {where}: " in line and text in line for line in lines), lines


@pytest.mark.parametrize("pattern", ["*.yaml", "**/*.yaml", "../etc/*.yaml", "{folder}/**/*.yaml"])
def test_a_mounted_config_map_is_read_once(tmp_path: Path, pattern: str) -> None:
    """Flat, the bridge's file beside the systems', and all of them again in a hidden folder."""
    kept = tmp_path / "etc" / "..2026_11_29"
    kept.mkdir(parents=True)
    pattern = pattern.replace("{folder}", str(tmp_path / "etc"))
    bridge = {**BRIDGE, "systems": pattern, "agents": pattern.replace("yaml", "py")}
    files = write(tmp_path, bridge=bridge).parent
    for path in (files / "bridge.yaml", files / "systems/erp.yaml", files / "agents/watch.py"):
        path.rename(kept / path.name)
    (tmp_path / "etc" / "..data").symlink_to(kept.name)
    for path in kept.iterdir():
        (tmp_path / "etc" / path.name).symlink_to(f"..data/{path.name}")
    config = load(tmp_path / "etc" / "bridge.yaml", ENVIRON)
    assert [system.document.file for system in config.systems] == ["erp.yaml"]
    assert [Path(agent).name for agent in config.agents] == ["watch.py"]


def test_what_is_hidden_is_read_where_the_pattern_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, bridge={**BRIDGE, "systems": ".kept/*.yaml"})
    (tmp_path / "systems").rename(tmp_path / ".kept")
    assert len(load(path, ENVIRON).systems) == 1
