"""A secret that is not there: its reference is named with its place; no other secret is shown."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.bad_input.erp import demo_erp
from tests.bad_input.guarded_bridge import PROGRAM, GuardedBridge
from tests.secret_scan import secret
from tests.waiting import catches, wait_until

SHOP = """\
system: shop
connector: postgres
url: postgresql://bridge:${{{url}}}@127.0.0.1:1/shop
mask_key: ${{{mask}}}
entities: {{article: {{from: article}}}}
"""
LOG = """\
bridge: acme
log:
  kafka:
    servers: 127.0.0.1:1
    security: {{protocol: SASL_PLAINTEXT, mechanism: PLAIN, username: me, password: "${{{kafka}}}"}}
    registry: {{url: "http://127.0.0.1:1", username: me, password: "${{{registry}}}"}}
"""
COMMANDS = [
    ("check",),
    ("run",),
    ("status",),
    ("tail",),
    ("get", "article", "1"),
    ("snapshot", "shop"),
    ("setup", "shop", "--yes"),
    ("commands",),
]


@pytest.mark.usefixtures("processes")
def test_a_secret_that_is_not_there_is_named_by_every_command(tmp_path: Path) -> None:
    bridge = GuardedBridge(tmp_path, {"MASK": secret("mask")})
    (tmp_path / "systems").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    missing = {"kafka": "env:KAFKA", "registry": "file:nothing"}
    bridge.config.write_text(LOG.format(**missing))
    file = tmp_path / "systems" / "shop.yaml"
    file.write_text(SHOP.format(url="file:../folder", mask="file:../binary"))
    sentences = [
        "bridge.yaml:5: log.kafka.security.password: the environment variable KAFKA is not set",
        "bridge.yaml:6: log.kafka.registry.password: the secret file nothing can't be read: No such",
        "systems/shop.yaml:3: url: the secret file ../folder can't be read: Is a directory",
        "systems/shop.yaml:4: mask_key: the secret file ../binary can't be read: not a text file",
    ]
    # Who needs no system needs none of its secrets.
    bridge.all_fail(*COMMANDS, code=2, says=sentences[:2])
    bridge.all_fail(("check",), ("run",), code=2, says=sentences)
    # One of them is there by now: it is told no longer, and never shown.
    file.write_text(SHOP.format(url="file:../folder", mask="env:MASK"))
    assert "mask_key" not in bridge.fails("check", code=2, says=sentences[:3])
    assert not (tmp_path / "bridge.db").exists()


@pytest.mark.usefixtures("processes")
def test_secrets_that_are_there_are_in_no_word_of_what_fails_with_them(tmp_path: Path) -> None:
    bridge = GuardedBridge(
        tmp_path,
        {
            "KAFKA": secret("kafka/pa:ss"),
            "REGISTRY": secret("registry?"),
            "URL": secret("ur1@pa/ss"),
        },
    )
    bridge.secret("MASK", secret("mask"))
    (tmp_path / "systems").mkdir()
    bridge.config.write_text(LOG.format(kafka="env:KAFKA", registry="env:REGISTRY"))
    (tmp_path / "systems" / "shop.yaml").write_text(SHOP.format(url="env:URL", mask="env:MASK"))
    away = [words for words in COMMANDS if words[0] not in ("run", "setup")]
    bridge.all_fail(*away, code=1, says=["no Kafka server answers"])
    # What can't be connected to may be there later: this is no fault of the files.
    bridge.fails("setup", "shop", "--yes", code=1, says=["system 'shop'", "127.0.0.1"])


@pytest.mark.usefixtures("processes")
def test_reads_before_setup_name_what_makes_them_possible(tmp_path: Path) -> None:
    legacy = demo_erp(tmp_path / "erp", set_up=False)
    says = ["journal of 'erp'", "`bridgectl setup erp`"]
    legacy.bridge.all_fail(("get", "customer", "1"), ("get", "customer"), code=2, says=says)
    with legacy.bridge.running("--only", "capture") as run:
        assert run.ends() == 1
        for part in says:
            assert part in run.text
    assert legacy.bridge.call("setup", "erp", "--yes").code == 0
    assert legacy.bridge.call("get", "customer", "1").code == 0


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_loaded_ends_with_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    legacy = demo_erp(tmp_path / "erp")
    for after in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8):
        output = legacy.bridge.folder / "told"
        pid = os.posix_spawn(
            PROGRAM,
            [str(PROGRAM), "-c", str(legacy.bridge.config), "run", "--only", "capture"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        # Python itself is up once SIGTERM is caught: from there on the bridge answers for it.
        wait_until(partial(catches, pid, signal.SIGTERM), describe=output.read_text)
        time.sleep(after)  # spread over the loading: that is what is tested
        os.kill(pid, number)
        status = wait_until(partial(ended, pid), describe=output.read_text)[1]
        assert os.waitstatus_to_exitcode(status) == 0, (after, output.read_text())
        assert "Aborted" not in output.read_text(), after
        legacy.bridge.clean(output.read_text(), f"after {after} s")


def ended(pid: int) -> tuple[int, int] | None:
    """The pid and the status of a child that has ended."""
    status = os.waitpid(pid, os.WNOHANG)
    return status if status[0] else None
