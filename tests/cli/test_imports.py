"""What `bridgectl` loads: nothing heavy or optional that the configuration doesn't ask for."""

import json
import subprocess
import sys
from pathlib import Path

from bridge.cli.app import COMMANDS
from tests.cli.bridge_folder import BridgeFolder

#: Clients of other logs, systems and watchers, none of which an embedded bridge on SQLite has.
ELSEWHERE = (
    "aiokafka",
    "confluent_kafka",
    "connectors.odata",
    "connectors.postgres",
    "connectors.tryton",
    "bridge.log.kafka",
    "bridge.log.registry.http",
    "httpx",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pyodbc",
)
SQL = ("sqlalchemy", "connectors")
STAGES = ("bridge.agent", "bridge.capture", "bridge.commands", "bridge.gateway")
#: Commands, and what they have no use for. They run in this order, so it may only grow less.
CALLS: dict[str, tuple[str, ...]] = {
    "--help": ("asyncio", "fastavro", "pydantic", "ruamel", "rich", *SQL, *STAGES),
    "--version": ("asyncio", "fastavro", "pydantic", "ruamel", "rich", *SQL, *STAGES),
    "completion bash": ("asyncio", "fastavro", "pydantic", "ruamel", "rich", *SQL, *STAGES),
    **{f"{name} --help": ("pydantic", "ruamel", "rich", *SQL, *STAGES) for name in COMMANDS},
    "schema config": ("rich", *SQL, *STAGES),
    "schema topics commands": ("rich", *SQL, *STAGES),
    "log topics --json": ("rich", *SQL),
    "log groups --json": ("rich", *SQL),
    "tail --no-follow --from beginning": ("rich", *SQL),
    "dead --json": ("rich", *SQL),
    "commands --json": ("rich", *SQL),
    "schema show customer": ("rich", *SQL),
    "status --json": ("rich",),
    "check --offline": (),
    "check --json": (),
    "setup erp --show": (),
    "get customer 1": (),
    "schema plan customer": (),
    "replay customer --offset 0 --to file:x.jsonl --dry-run": (),
    "run": (),
}
#: Runs one command after the other in one process and prints which modules each had loaded.
PROGRAM = """
import contextlib, io, json, os, signal, sys, threading, time
from bridge.cli.app import group

def until_it_runs(told):
    while "streaming" not in told.getvalue():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)

for words in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    if words == "run":
        threading.Thread(target=until_it_runs, args=[err], daemon=True).start()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            group(["-c", sys.argv[1], *words.split()], prog_name="bridgectl")
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([words, code, err.getvalue(), sorted(sys.modules)]), flush=True)
"""


def loaded(bridge_folder: BridgeFolder, *calls: str) -> dict[str, set[str]]:
    """Modules that are loaded after each call, all of which end well."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bridge_folder.config), json.dumps(calls)],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
        cwd=Path(bridge_folder.folder),
    )
    modules_by_call = {}
    for words, code, err, modules in map(json.loads, done.stdout.splitlines()):
        # `status` says by its code that a bridge which ended a while ago isn't healthy.
        assert code == 0 or words.startswith("status"), (words, err)
        modules_by_call[words] = set(modules)
    assert list(modules_by_call) == list(calls)
    return modules_by_call


def among(modules: set[str], unwanted: tuple[str, ...]) -> list[str]:
    return [
        name
        for name in unwanted
        if any(module == name or module.startswith(f"{name}.") for module in modules)
    ]


def test_an_embedded_bridge_loads_no_client_of_anything_else_and_each_command_what_it_needs(
    lived: BridgeFolder,
) -> None:
    for words, modules in loaded(lived, *CALLS).items():
        assert among(modules, ELSEWHERE + CALLS[words]) == [], words
