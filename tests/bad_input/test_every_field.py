"""Every field of every model of the files, and of the connectors' options, wrong in turn: one clear
problem that names file, line and field, and shows no secret.
"""

import copy
import inspect
import io
import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from bridge.config import ConfigProblems, load, models
from bridge.wiring.check.declarations import connector_of
from tests.secret_scan import secret

ENVIRON = {"PASSWORD": secret("s3cr3t/p@ss"), "KEY": secret("m4sk-k3y")}
KAFKA: dict[str, Any] = {
    "servers": ["k1:9092"],
    "security": {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "bridge",
        "password": "${env:PASSWORD}",
        "ca": "ca.pem",
        "certificate": "me.pem",
        "private_key": "me.key",
    },
    "registry": {
        "url": "https://registry/apis/ccompat/v7",
        "username": "bridge",
        "password": "${env:PASSWORD}",
        "tls": {"ca": "ca.pem"},
    },
    "partitions": 6,
    "replication": 3,
    "min_insync": 2,
}
BRIDGE: dict[str, Any] = {
    "bridge": "acme",
    "log": {"kafka": KAFKA},
    "systems": ["systems/*.yaml"],
    "agents": ["agents/*.py"],
    "history": "30d",
    "max_record_bytes": 900000,
    "stalled_after": "15m",
    "gateway": {"audit": 0.02},
    "view_folder": "var/views",
    "budgets": {"credit-watch": {"reads": 10000, "per": "1h", "per_event": 500}},
}
DURATIONS = ("history", "stalled_after")
EMBEDDED = {**BRIDGE, "log": {"sqlite": "var/bridge.db", "partitions": 4}}
FIELD: dict[str, Any] = {
    "from": ["a"],
    "type": "string",
    "code_page": "cp850",
    "trim": True,
    "map": {"A": "open"},
    "zeros": 10,
    "unit": "0.01",
    "mask": "hash",
    "call": "package.module:function",
    "format": "%Y%m%d",
    "zone": "Europe/Berlin",
}
ARG: dict[str, Any] = {
    "type": "integer",
    "required": True,
    "default": 5,
    "minimum": 1,
    "maximum": 9,
    "choices": [1, 5],
}
TEXT_ARG: dict[str, Any] = {"type": "string", "max_length": 60, "pattern": "[a-z]+"}
SYSTEM: dict[str, Any] = {
    "system": "erp",
    "connector": "postgres",
    "url": "postgresql://bridge:${env:PASSWORD}@erp-db:5432/erp",
    "mask_key": "${env:KEY}",
    "capture": {
        "publication": "bridge",
        "slot": "bridge_erp",
        "heartbeat": 10,
        "slot_wait": 30,
        "connect_timeout": 10,
        "answer_timeout": 30,
    },
    "limits": {
        "connections": 4,
        "queries_per_second": 50,
        "burst": 5,
        "windows": [{"requests": 6000, "per": "5m"}, {"seconds": 1200, "per": "5m"}],
        "batch_operations": 100,
        "rows_per_second": 10000,
        "max_rows": 50000,
        "total_connections": 20,
        "surface_connections": 1,
        "processes": 2,
    },
    "cache": {"bytes": 100000000},
    "view_bytes": 1000000000,
    "peers": True,
    "gateway": {
        "tcp": "reads:7070",
        "tls": {"certificate": "me.pem", "key": "me.key", "ca": "ca.pem"},
        "token": "${env:KEY}",
        "lease": "10s",
    },
    "entities": {
        "order": {
            "from": "vbak",
            "key": ["id"],
            "version": "etag",
            "max_deletes": "25%",
            "cache": {"max_staleness": "10s", "stale_if_error": "5m"},
            "view": "auto",
            "fields": {"id": "vbeln", "etag": "stamp", "note": FIELD},
            "relations": {
                "lines": {"entity": "line", "by": "id"},
                "parent": {"entity": "order", "from": "id"},
            },
        },
        "line": {"from": "vbap"},
    },
    "commands": {
        "block": {
            "entity": "order",
            "args": {"count": ARG, "reason": TEXT_ARG},
            "run": "update vbak set n = :count, r = :reason where vbeln = :key",
            "probe": "select 1 from vbak where vbeln = :key and n = :count",
            "tier": "outside_the_loop",
            "guards": ["note"],
            "rows": "one",
        }
    },
}
JOURNAL = {
    **SYSTEM,
    "connector": "journal",
    "url": "sqlite:///erp.db",
    "capture": {"poll_ms": 30, "purge_batch_rows": 2000, "purge_after_ms": 500},
    "gateway": {"socket": "reads.sock"},
}
#: What only that connector knows: its `capture:` and its `login:`.
ODATA = {
    **SYSTEM,
    "connector": "odata",
    "url": "https://erp/odata/v4/",
    "capture": {
        "timeout": 30,
        "in_doubt_timeout": 60,
        "max_url_length": 2000,
        "max_batch_requests": 100,
        "service": "other",
        "max_keys_per_read": 1000,
        "poll": 5,
        "overlap": 30,
        "reconcile": 600,
        "page": 1000,
        "max_listed_rows": 100_000,
        "sets": {"vbak": {"change_detection": "changed", "changed": "aedat", "created": "erdat"}},
    },
    "login": {
        "oauth2": {
            "token_url": "https://login/token",
            "client_id": "bridge",
            "client_secret": "${env:PASSWORD}",
            "scope": "erp",
            "parameters": {"resource": "https://erp"},
            "send": "form",
        },
    },
    "tls": {
        "certificate": "me.pem",
        "key": "me.key",
        "key_password": "${env:PASSWORD}",
        "ca": "ca.pem",
    },
}
ODATA_BASIC = {**ODATA, "login": {"user": "bridge", "password": "${env:PASSWORD}"}}
ODATA_KEY = {**ODATA, "login": {"api_key": {"header": "X-Key", "value": "${env:KEY}"}}}
TRYTON = {
    **SYSTEM,
    "connector": "tryton",
    "url": "https://erp/database",
    "capture": {
        "poll": 2,
        "overlap": 300,
        "overlap_interval": 30,
        "reconcile": 600,
        "page": 1000,
        "timeout": 60,
        "context": {"A": 1},
        "contexts": {"vbak": {"A": 1}},
        "in_doubt_timeout": 60,
    },
    "login": {"user": "bridge", "password": "${env:PASSWORD}"},
}
NONSENSE = [[["nonsense"]]]
_YAML_TEXTS: dict[str, str] = {}


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def write(folder: Path, bridge: Any, system: Any) -> Path:
    for name in ("systems", "agents"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "agents" / "watch.py").write_text("")
    for path, data in (("bridge.yaml", bridge), ("systems/erp.yaml", system)):
        (folder / path).write_text(yaml_text(data))
    return folder / "bridge.yaml"


def yaml_text(data: Any) -> str:
    """The data as a file holds it; of the two files of a case one is as in many others."""
    if (key := repr(data)) not in _YAML_TEXTS:
        file = io.StringIO()
        YAML().dump(data, file)
        _YAML_TEXTS[key] = file.getvalue()
    return _YAML_TEXTS[key]


def problems(path: Path) -> str:
    """What the files alone are told to be wrong about, as `check --offline` does."""
    try:
        config = load(path)
    except ConfigProblems as error:
        return str(error)
    problem_lines: list[str] = []
    for system in config.systems:
        problem_lines += [
            f"{item.location}: {item.message} {item.hint}"
            for item in connector_of(config, system)[1]
        ]
    return "\n".join(problem_lines)


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(data, dict):
        for name, item in data.items():
            yield (*path, name)
            yield from leaves(item, (*path, name))


def broken(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(data)
    here = changed
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return changed


#: Anything may stand there: what it means is checked below.
OPEN = {"A", "default", "minimum", "maximum"}
OWN = ("capture", "login", "tls")
TWICE = {(files, part) for files in ("odata-basic", "odata-key") for part in ("capture", "tls")}
FILES = {
    "kafka": (BRIDGE, SYSTEM),
    "embedded": (EMBEDDED, SYSTEM),
    "journal": (EMBEDDED, JOURNAL),
    "odata": (EMBEDDED, ODATA),
    "odata-basic": (EMBEDDED, ODATA_BASIC),
    "odata-key": (EMBEDDED, ODATA_KEY),
    "tryton": (EMBEDDED, TRYTON),
}
CASES = [
    *(("kafka", "bridge", path) for path in leaves(BRIDGE)),
    *(("embedded", "bridge", path) for path in leaves(EMBEDDED) if path[0] == "log"),
    *(("kafka", "system", path) for path in leaves(SYSTEM) if path[-1] not in OPEN),
    *(
        (files, "system", path)
        for files in ("journal", "odata", "odata-basic", "odata-key", "tryton")
        for path in leaves(FILES[files][1])
        if path[0] in OWN and path[-1] not in OPEN and (files, path[0]) not in TWICE
    ),
]


def named(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize("files", FILES)
def test_the_files_that_are_broken_here_are_right(tmp_path: Path, files: str) -> None:
    assert problems(write(tmp_path, *FILES[files])) == ""


@pytest.mark.parametrize(
    ("files", "which", "path"), CASES, ids=[f"{a}:{named(c)}" for a, _, c in CASES]
)
def test_nonsense_in_any_field_is_named_with_its_line(
    tmp_path: Path, files: str, which: str, path: tuple[Any, ...]
) -> None:
    bridge, system = FILES[files]
    if which == "bridge":
        bridge = broken(bridge, path, NONSENSE)
    else:
        system = broken(system, path, NONSENSE)
    text = problems(write(tmp_path, bridge, system))
    assert named(path) in text, text
    assert_clear(text)


def _numbers() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Every field above whose value is a number, and the durations."""
    for files, which, path in CASES:
        value: Any = FILES[files][which == "system"]
        for part in path:
            value = value[part]
        if path[-1] in DURATIONS or (type(value) in {int, float}):
            yield files, which, path


@pytest.mark.parametrize(
    ("files", "which", "path"),
    [*_numbers()],
    ids=lambda item: named(item) if isinstance(item, tuple) else "",
)
@pytest.mark.parametrize("value", [10**40, -(10**40), float("inf"), float("nan")])
def test_no_number_is_endless(
    tmp_path: Path, files: str, which: str, path: tuple[Any, ...], value: float
) -> None:
    bridge, system = FILES[files]
    wrong = f"{value:.0f}d" if path[-1] in DURATIONS else value
    if which == "bridge":
        bridge = broken(bridge, path, wrong)
    else:
        system = broken(system, path, wrong)
    text = problems(write(tmp_path, bridge, system))
    assert named(path) in text, text
    assert_clear(text)


@pytest.mark.parametrize("key", ["systems", "agents"])
@pytest.mark.parametrize(
    "pattern",
    ["**.yaml", "a/**b/*.yaml", "x\0*", "x\0", "n" * 300, "/**.yaml", "*[", "nowhere/*.yaml"],
)
def test_a_pattern_of_files_that_is_none_is_named(tmp_path: Path, key: str, pattern: str) -> None:
    path = write(tmp_path, broken(EMBEDDED, ("systems",), ["systems/*.yaml"]), SYSTEM)
    path.write_text(path.read_text().replace(f"{EMBEDDED[key][0]}", json.dumps(pattern)))
    text = problems(path)
    assert f": {key}: " in text
    assert_clear(text)


def test_a_pattern_may_begin_at_the_root(tmp_path: Path) -> None:
    system = broken(SYSTEM, ("system",), "erp")
    path = write(tmp_path, {**EMBEDDED, "systems": [f"{tmp_path}/sys*/*.yaml"]}, system)
    assert problems(path) == ""


def assert_clear(text: str) -> None:
    for line in text.splitlines():
        file, number, _ = line.split(":", 2)
        assert file in {"bridge.yaml", "systems/erp.yaml"}, line
        assert int(number) > 0, line
    for hidden in ENVIRON.values():
        assert hidden not in text


#: Where the files above hold an instance of each model of `bridge.config.models`.
INSTANCES: dict[type[BaseModel], list[Any]] = {
    models.BridgeModel: [BRIDGE],
    models.LogModel: [BRIDGE["log"], EMBEDDED["log"]],
    models.KafkaModel: [KAFKA],
    models.SecurityModel: [KAFKA["security"]],
    models.RegistryModel: [KAFKA["registry"]],
    models.SystemModel: [SYSTEM, ODATA],
    models.ReadsModel: [BRIDGE["gateway"]],
    models.GatewayModel: [SYSTEM["gateway"], JOURNAL["gateway"]],
    models.TlsModel: [ODATA["tls"]],
    models.LimitsModel: [SYSTEM["limits"]],
    models.BudgetModel: list(BRIDGE["budgets"].values()),
    models.WindowModel: SYSTEM["limits"]["windows"],
    models.SystemCacheModel: [SYSTEM["cache"]],
    models.EntityModel: [SYSTEM["entities"]["order"]],
    models.EntityCacheModel: [SYSTEM["entities"]["order"]["cache"]],
    models.FieldModel: [FIELD],
    models.RelationModel: list(SYSTEM["entities"]["order"]["relations"].values()),
    models.CommandModel: [SYSTEM["commands"]["block"]],
    models.ArgModel: [ARG, TEXT_ARG],
}


def test_no_model_and_no_field_is_left_out() -> None:
    """A field that is new in a model has to be broken above, too."""
    model_classes = {name: item for name, item in vars(models).items() if inspect.isclass(item)}
    declared = {
        item
        for item in model_classes.values()
        if issubclass(item, models.StrictModel) and item is not models.StrictModel
    }
    assert declared == set(INSTANCES)
    for model in declared:
        names = {field.alias or name for name, field in model.model_fields.items()}
        fields_set = [set(instance) for instance in INSTANCES[model]]
        assert names in fields_set or names == set().union(*fields_set), (model, names)


@pytest.mark.parametrize("name", sorted(entry_points(group="bridge.connectors").names))
def test_no_field_of_a_connector_is_left_out(name: str) -> None:
    connector = entry_points(group="bridge.connectors")[name].load()
    files = [system for _, system in FILES.values() if system["connector"] == name]
    for part, model in (
        ("capture", connector.options),
        ("login", getattr(connector, "login", None)),
    ):
        declared = set(fields(model)) if model is not None else set()
        paths_set = {path for system in files for path in leaves(system.get(part, {}))}
        assert declared <= {tuple(map(str, path)) for path in paths_set}, (name, part)


def fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the fields of a model stand, and of the models in it."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        for inner in get_args(field.annotation) or (field.annotation,):
            if inspect.isclass(inner) and issubclass(inner, BaseModel):
                # In a mapping by table, the one that the files above have.
                by = ("vbak",) if get_origin(field.annotation) is dict else ()
                yield from fields(inner, (*path, name, *by))


#: Values of the right type that mean nothing: which file, where, the value, what is said of it.
MEANINGLESS: list[tuple[str, str, Any, str]] = [
    ("bridge", "bridge", "Acme", "lower-case letters"),
    ("bridge", "log", "redis://h", "is not a log"),
    ("bridge", "log", {}, "exactly one of kafka: and sqlite:"),
    ("bridge", "log.kafka.servers", [], "at least 1 item"),
    ("bridge", "log.kafka.servers", ["k1"], "host:port"),
    ("bridge", "log.kafka.servers", ["k1:port"], "host:port"),
    ("bridge", "log.kafka.partitions", 0, "greater than or equal to 1"),
    ("bridge", "log.kafka.replication", -2, "greater than or equal to -1"),
    ("bridge", "log.kafka.min_insync", 0, "greater than or equal to 1"),
    ("bridge", "log.kafka.security.protocol", "TLS", "PLAINTEXT"),
    ("bridge", "log.kafka.security.mechanism", "SCRAM", "SCRAM-SHA-512"),
    ("bridge", "log.kafka.security.password", "hunter2", "in clear"),
    ("bridge", "log.kafka.security.password", "${env:NOWHERE}", "NOWHERE is not set"),
    ("bridge", "log.kafka.registry.password", "hunter2", "in clear"),
    ("bridge", "log.kafka.registry.url", "https://u:hunter2@registry", "holds a password"),
    ("bridge", "log.kafka.registry.url", "registry:8080", "http"),
    ("bridge", "systems", ["nothing/*.yaml"], "no file matches"),
    ("bridge", "agents", ["nothing.py"], "no file matches"),
    ("bridge", "history", "a month", "30d"),
    ("bridge", "stalled_after", "a month", "30d"),
    ("bridge", "budgets.credit-watch", {"per": "1h"}, "a budget limits reads or per_event"),
    ("bridge", "budgets.credit-watch.reads", -1, "greater than or equal to 0"),
    ("bridge", "budgets.credit-watch.per", "an hour", "a number and s, m, h or d"),
    ("bridge", "budgets.credit-watch.per_event", -1, "greater than or equal to 0"),
    ("bridge", "max_record_bytes", 10, "greater than or equal to 1000"),
    ("system", "system", "ERP", "lower-case letters"),
    ("system", "connector", "oracle", "installed are"),
    ("system", "url", "postgresql://bridge:hunter2@erp-db/erp", "in clear"),
    ("system", "url", "postgresql://bridge:${env:NOWHERE}@erp-db/erp", "NOWHERE is not set"),
    ("system", "url", "postgresql://bridge:${PASSWORD}@erp-db/erp", "${env:NAME}"),
    ("system", "mask_key", "hunter2", "in clear"),
    ("system", "mask_key", "${file:nowhere}", "nowhere can't be read"),
    ("system", "capture", {"slots": "x"}, "'slots' is not a known key here"),
    ("system", "capture.slot", "Bridge-Erp", "lower-case letters"),
    ("system", "capture.publication", "", "at least 1 character"),
    ("system", "capture.heartbeat", 0, "greater than or equal to 0.1"),
    ("system", "capture.slot_wait", -1, "greater than or equal to 0"),
    ("system", "capture.connect_timeout", 1, "greater than or equal to 2"),
    ("system", "limits.connections", 0, "greater than or equal to 1"),
    ("system", "limits.queries_per_second", -1, "greater than or equal to 0"),
    ("system", "limits.queries_per_second", 0, "burst goes with queries_per_second"),
    ("system", "limits.burst", 0, "greater than or equal to 1"),
    ("system", "limits.windows", [{"per": "5m"}], "a window counts requests or seconds"),
    (
        "system",
        "limits.windows",
        [{"requests": 1, "seconds": 1, "per": "5m"}],
        "write one for each",
    ),
    ("system", "limits.windows", [{"requests": 6000}], "'per' is missing"),
    ("system", "limits.windows", [{"requests": 6000, "per": "5 min"}], "a number and s, m, h or d"),
    ("system", "limits.windows", [{"requests": 6000, "per": "0m"}], "a number and s, m, h or d"),
    ("system", "limits.batch_operations", -1, "greater than or equal to 0"),
    ("system", "limits.rows_per_second", -1, "greater than or equal to 0"),
    ("system", "limits.max_rows", -1, "greater than or equal to 0"),
    ("system", "limits.total_connections", -1, "greater than or equal to 0"),
    ("system", "limits.surface_connections", 0, "greater than or equal to 1"),
    ("system", "limits.processes", 0, "greater than or equal to 1"),
    ("system", "entities", {}, "at least 1 item"),
    ("system", "entities.order.key", ["nope"], "'nope' is not a field"),
    ("system", "entities.order.version", "nope", "'nope' is not a field"),
    ("system", "entities.order.cache.max_staleness", "soon", "max_staleness"),
    ("system", "entities.order.cache.max_staleness", -1, "max_staleness"),
    ("system", "entities.order.cache.stale_if_error", "3s", "not longer than max_staleness"),
    ("system", "entities.order.cache.nope", 1, "nope"),
    ("system", "cache.bytes", 10, "at least 1000000"),
    ("system", "cache.bytes", "many", "cache"),
    ("system", "entities.order.max_deletes", -1, "greater than or equal to 0"),
    ("system", "entities.order.max_deletes", "many", "neither a number of rows"),
    ("system", "entities.order.max_deletes", "101%", "neither a number of rows"),
    ("system", "entities.order.max_deletes", 1.5, "max_deletes"),
    ("system", "entities.order.max_deletes", True, "max_deletes"),
    ("system", "entities.order.fields.id", {"from": ["a", "b"]}, "joins several columns"),
    ("system", "entities.order.fields.note.format", "date", "date or time"),
    ("system", "entities.order.fields.note.type", "decimal(2,5)", "decimal"),
    ("system", "entities.order.fields.note.type", "colour", "colour"),
    ("system", "entities.order.fields.note.code_page", "cp-nope", "cp-nope"),
    ("system", "entities.order.fields.note.zone", "Mars/Olympus", "Mars/Olympus"),
    ("system", "entities.order.fields.note.unit", "cents", "cents"),
    ("system", "entities.order.fields.note.unit", "0", "0"),
    ("system", "entities.order.fields.note.zeros", -1, "greater than or equal to 0"),
    ("system", "entities.order.fields.note.mask", "blur", "hash"),
    ("system", "entities.order.fields.note.call", "function", "package.module:function"),
    ("system", "entities.order.relations.lines.entity", "gone", "not declared"),
    ("system", "entities.order.relations.parent.from", "nope", "'nope' is not a field"),
    ("system", "entities.order.relations.parent", {"entity": "order"}, "by: or from:"),
    ("system", "commands.block.entity", "gone", "not declared"),
    ("system", "commands.block.tier", "loop", "in_the_loop"),
    ("system", "commands.block.guards", ["nope"], "'nope' is not a field"),
    ("system", "commands.block.rows", "some", "many"),
    ("system", "commands.block.run", "", "at least 1 character"),
    ("system", "commands.block.args", {"key": {"type": "string"}}, "reserved"),
    ("system", "commands.block.args.count.type", "colour", "colour"),
    ("system", "commands.block.args.count.default", "many", "default"),
    ("system", "commands.block.args.count.minimum", "few", "minimum"),
    ("system", "commands.block.args.count.maximum", [], "maximum"),
    ("system", "commands.block.args.count.choices", ["red"], "choices"),
    ("system", "commands.block.args.count.default", 99, "default"),
    ("system", "commands.block.args.count.max_length", 5, "max_length"),
    ("system", "commands.block.args.count.pattern", "x", "pattern"),
    ("system", "commands.block.args.reason.max_length", 0, "greater than or equal to 1"),
    ("system", "commands.block.args.reason.pattern", "(", "pattern"),
]


@pytest.mark.parametrize(
    ("which", "where", "value", "says"), MEANINGLESS, ids=[f"{w}={v}" for _, w, v, _ in MEANINGLESS]
)
def test_a_value_that_means_nothing_is_named_with_its_line(
    tmp_path: Path, which: str, where: str, value: Any, says: str
) -> None:
    path = tuple(where.split("."))
    data = {"bridge": BRIDGE, "system": SYSTEM}
    data[which] = broken(data[which], path, value)
    text = problems(write(tmp_path, data["bridge"], data["system"]))
    assert path[-1] in text, text
    assert says in text, text
    assert "hunter2" not in text
    assert_clear(text)


def at(files: str, which: str, path: tuple[Any, ...]) -> Any:
    value: Any = FILES[files][0 if which == "bridge" else 1]
    for part in path:
        value = value[part]
    return value


@pytest.mark.parametrize("value", [None, "${"], ids=["null", "half a reference"])
def test_a_field_that_is_broken_some_other_way_is_a_problem_or_none(
    tmp_path: Path, value: Any
) -> None:
    """Never another error, which would be a traceback."""
    for files, which, path in CASES:
        if files == "kafka" and not isinstance(at(files, which, path), dict):
            data = {"bridge": BRIDGE, "system": SYSTEM}
            data[which] = broken(data[which], path, value)
            try:
                problems(write(tmp_path, data["bridge"], data["system"]))
            except Exception as error:
                raise AssertionError((which, path, value)) from error
