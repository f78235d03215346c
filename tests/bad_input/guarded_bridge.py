"""A bridge in a folder, driven by `bridgectl` in processes of its own, whose every word is looked
through: no traceback where a sentence would do, and no secret anywhere.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from click.testing import CliRunner

from bridge.cli.app import group
from tests.waiting import WAIT_TIMEOUT_S, end_in_order, wait_until

PROGRAM = Path(sys.executable).with_name("bridgectl")


@dataclass(frozen=True)
class Answer:
    """What a call left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Stdout as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(f"{self.out} {self.err}".split())


class GuardedRun:
    """`bridgectl run`, whose lines are kept."""

    def __init__(self, process: "subprocess.Popen[str]", run_logs: Path) -> None:
        self.process = process
        self._output = run_logs

    @property
    def text(self) -> str:
        """What it has said so far, on one line."""
        return " ".join(self._output.read_text().split())

    def says(self, pattern: str) -> str:
        """Wait until it has said something that fits."""

        def is_in_output() -> bool:
            return re.search(pattern, self.text) is not None

        wait_until(
            is_in_output, describe=lambda: f"never said {pattern!r}:\n{self._output.read_text()}"
        )
        return self.text

    def ends(self) -> int:
        """Wait until it ends by itself; its exit code."""
        try:
            return self.process.wait(timeout=WAIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"goes on:\n{self._output.read_text()}") from None


@dataclass
class GuardedBridge:
    """A folder that holds bridge.yaml and all that it names. `secrets`: environment variables
    that no output, log or file may hold; `before`: words before each `bridgectl`.
    """

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    run_logs: list[Path] = field(default_factory=list)
    former: set[str] = field(default_factory=set)

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self.secrets, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}

    def call(self, *words: str, stdin: str = "") -> Answer:
        """`bridgectl` to its end."""
        done = subprocess.run(
            [*self.before, str(PROGRAM), "-c", str(self.config), *words],
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
            env=self.environment,
            timeout=2 * WAIT_TIMEOUT_S,
        )
        self.clean(done.stdout + done.stderr, " ".join(words))
        return Answer(done.returncode, done.stdout, done.stderr)

    def inside(self, *words: str) -> Answer:
        """`bridgectl` inside of this process, for what is asked for again and again."""
        if self.before:
            return self.call(*words)
        runner = CliRunner(env={**self.secrets, "COLUMNS": "200"})
        result = runner.invoke(group, ["-c", str(self.config), *words], prog_name="bridgectl")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.clean(result.output, " ".join(words))
        return Answer(result.exit_code, result.stdout, result.stderr)

    def fails(self, *words: str, code: int, says: Sequence[str], outside: bool = False) -> str:
        """`bridgectl` that has to fail with this code and with each of these words; `outside`: in a
        process of its own, most of whose time goes into starting.
        """
        answer = (self.call if outside or words[0] == "run" else self.inside)(*words)
        assert answer.code == code, (words, answer)
        for part in says:
            assert part in answer.text, (words, part, answer)
        return answer.text

    def all_fail(self, *calls: Sequence[str], code: int, says: Sequence[str]) -> None:
        """The same of several, the first of them as a process."""
        for number, words in enumerate(calls):
            self.fails(*words, code=code, says=says, outside=number == 0)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[GuardedRun]:
        """`bridgectl run`, ended in order where it hasn't ended by itself."""
        run_log = self.folder / f"run{len(self.run_logs)}.log"
        self.run_logs.append(run_log)
        with run_log.open("w") as file:
            process = subprocess.Popen(
                [*self.before, str(PROGRAM), "-c", str(self.config), "run", *words],
                stdout=file,
                stderr=file,
                text=True,
                env=self.environment,
            )
        run = GuardedRun(process, run_log)
        try:
            yield run
            if process.poll() is None:
                assert end_in_order(process) == 0, run_log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.clean(run_log.read_text(), "run")

    def secret(self, name: str, value: str) -> None:
        """Set a secret again; the old one must not be told either."""
        if name in self.secrets:
            self.former.add(self.secrets[name])
        self.secrets[name] = value

    @property
    def _hidden(self) -> set[str]:
        """Every secret that there is and was, as it is and as it stands in a URL."""
        secrets = {*self.secrets.values(), *self.former}
        return secrets | {quote(secret, safe="") for secret in secrets}

    def clean(self, text: str, what: str) -> None:
        """No traceback, no secret."""
        for noise in ("Traceback", "never retrieved", "never awaited"):
            assert noise not in text, f"{what}:\n{text}"
        for secret in self._hidden:
            assert secret not in text, f"{what} tells {secret!r}:\n{text}"

    def stores_no_secret(self) -> None:
        """Nothing in the folder holds one: neither the log nor what was said."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                for secret in self._hidden:
                    assert secret.encode() not in content, f"{path} holds {secret!r}"

    # -- what is in the log ------------------------------------------------------------------

    def events(self, entity: str) -> list[dict[str, Any]]:
        """Every event of an entity, oldest first."""
        answer = self.inside("tail", entity, "--no-follow", "--from", "beginning", "--json")
        assert answer.code in (0, 3), answer
        return answer.rows

    def changes(self, entity: str) -> list[tuple[str, Any]]:
        """Operation and row of each event that is no read, each position once."""
        events = self.events(entity)
        positions = [event["position"] for event in events]
        assert len(set(positions)) == len(positions), positions
        return [(event["op"], event["after"]) for event in events if event["op"] != "read"]

    def until_changes(self, entity: str, count: int) -> list[tuple[str, Any]]:
        """The changes once there are so many (or more)."""
        seen: list[tuple[str, Any]] = []

        def enough() -> bool:
            seen[:] = self.changes(entity)
            return len(seen) >= count

        wait_until(enough, describe=lambda: f"{len(seen)} of {count}: {seen}\n{self.last_output()}")
        return seen

    def last_output(self) -> str:
        return self.run_logs[-1].read_text() if self.run_logs else ""

    def state(self, entity: str, key: str) -> dict[Any, Any]:
        """The rows that the log's events end in, by their key."""
        rows: dict[Any, Any] = {}
        for event in self.events(entity):
            name = event["key"][key]
            rows.pop(name, None)
            if event["op"] != "delete":
                rows[name] = event["after"]
        return rows
