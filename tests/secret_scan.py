"""A scan of every byte that the bridge prints and stores in a test for the tests' secrets.

Each secret of a test is made by `secret`, so that it begins with `MARKER`: one pattern finds all of
them, in every encoding, also where the end of one was cut. Scanned are what a test of this process
prints and logs, whatever a `bridgectl` of its own process prints, each file that it leaves in its
folder, and at the end what is in the topics of the session's broker. A secret that is found fails
the test.

What is not scanned: files in which a secret belongs (`holds_secret` names them, `HOLDING_SECRETS`
the usual ones) and the data of servers.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from bridge.model.secret_forms import base64_forms, plain_forms

MARKER: Final = "Zq7xTestSecretX9vK"
HOLDING_SECRETS: Final = frozenset({"env", ".env", "password", "secret", "server.properties"})
"""Names of files that may hold a secret: what a person writes there."""
SERVER_DATA: Final = frozenset({"PG_VERSION", "meta.properties", "ibdata1"})
"""A folder with one of these is a server's own."""
MAX_SCANNED_BYTES: Final = 64 * 2**20

_holding: set[Path] = set()


def secret(name: str) -> str:
    """A password, key or token of a test: no other text of the suite looks like it."""
    return f"{MARKER}-{name}"


def holds_secret(path: Path) -> Path:
    """Of a file in which a secret has to be: `path`, which the scan leaves out."""
    _holding.add(path.resolve())
    return path


_ESCAPES: Final = (
    "&#{0};",
    "&#x{0:x};",
    "&#x{0:X};",
    "%{0:02x}",
    "%{0:02X}",
    "\\u{0:04x}",
    "\\x{0:02x}",
)


def _forms() -> Iterator[bytes]:
    texts = {*plain_forms(MARKER), *base64_forms(MARKER), MARKER.lower(), MARKER.upper()}
    texts |= {"".join(form.format(ord(sign)) for sign in MARKER) for form in _ESCAPES}
    yield from (text.encode() for text in texts)
    yield from (MARKER.encode(encoding) for encoding in ("utf-16-le", "utf-16-be"))


_PATTERN: Final = re.compile(b"|".join(re.escape(form) for form in sorted(_forms())))
_ANCHORS: Final = tuple(sorted(_forms(), key=len))


def leak_in(content: str | bytes) -> str:
    """Where a secret is in it, with what is around it; empty where there is none."""
    data = content.encode(errors="replace") if isinstance(content, str) else content
    if not any(form in data for form in _ANCHORS):
        return ""
    match = _PATTERN.search(data)
    assert match is not None
    around = data[max(0, match.start() - 80) : match.end() + 40]
    return around.decode(errors="backslashreplace")


def leaks_below(folder: Path) -> Iterator[str]:
    """Every file below that holds a secret and should not."""
    for parent, folders, names in os.walk(folder):
        if SERVER_DATA.intersection(names):
            folders.clear()
            continue
        for name in names:
            path = Path(parent, name)
            if name in HOLDING_SECRETS or path.resolve() in _holding:
                continue
            try:
                if not path.is_file() or path.stat().st_size > MAX_SCANNED_BYTES:
                    continue
                content = path.read_bytes()
            except OSError:  # it is gone, or may not be read by anybody
                continue
            if secret_name := leak_in(content):
                yield f"{path}: {secret_name}"


def leaks_in_topics(folder: Path) -> Iterator[str]:
    """The topics of a broker that hold a secret, by the segments in its data folder: as producers
    wrote them, which compress nothing here. SCRAM's keys are in another one's.
    """
    for path in folder.rglob("*.log"):
        if not path.parent.name.startswith("__") and (secret_name := leak_in(path.read_bytes())):
            yield f"topic {path.parent.name}: {secret_name}"


class SecretScan:
    """The plugin."""

    def __init__(self) -> None:
        self._printed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" and report.passed:
            leaks = list(self._leaks(item, report))
            if leaks:
                report.outcome = "failed"
                report.longrepr = "a secret of the tests got out:\n" + "\n".join(leaks)
        return report

    def _leaks(self, item: pytest.Item, report: pytest.TestReport) -> Iterable[str]:
        for title, text in report.sections:
            if secret_name := leak_in(text):
                yield f"{title}: {secret_name}"
        yield from self._printed
        self._printed.clear()
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if isinstance(folder, Path):
            yield from leaks_below(folder)

    def note_output(self, arguments: Any, *outputs: Any) -> None:
        """What a process printed, where that process is the bridge."""
        words = [arguments] if isinstance(arguments, (str, bytes)) else list(arguments)
        if any(Path(str(word)).name == "bridgectl" or str(word) == "bridge.cli" for word in words):
            for output in outputs:
                if output and (secret_name := leak_in(output)):
                    self._printed.append(f"printed by {words[:6]}: {secret_name}")


def scan_processes(scan: SecretScan, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whatever `communicate` of a process returns is scanned, and what `bridgectl` prints
    inside of this one.
    """
    communicate: Callable[..., tuple[Any, Any]] = subprocess.Popen.communicate

    def scanned(process: subprocess.Popen[Any], *arguments: Any, **named: Any) -> tuple[Any, Any]:
        outputs = communicate(process, *arguments, **named)
        scan.note_output(process.args, *outputs)
        return outputs

    monkeypatch.setattr(subprocess.Popen, "communicate", scanned)
    invoke: Callable[..., Result] = CliRunner.invoke

    def scanned_inside(runner: CliRunner, *arguments: Any, **named: Any) -> Result:
        result = invoke(runner, *arguments, **named)
        scan.note_output(["bridgectl"], result.output)
        return result

    monkeypatch.setattr(CliRunner, "invoke", scanned_inside)


_SCAN: Final = pytest.StashKey[pytest.MonkeyPatch]()


def pytest_configure(config: pytest.Config) -> None:
    """As pytest's hook; `tests/conftest.py` takes it from here."""
    scan, patch = SecretScan(), pytest.MonkeyPatch()
    scan_processes(scan, patch)
    config.stash[_SCAN] = patch
    config.pluginmanager.register(scan, "bridge-secret-scan")


def pytest_unconfigure(config: pytest.Config) -> None:
    """As pytest's hook."""
    config.stash[_SCAN].undo()
