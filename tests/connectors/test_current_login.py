"""Secrets that change under a running process: read again when they are refused, and never hurried."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import load
from bridge.connector import System
from bridge.connector.current_login import (
    FIRST_WAIT_S,
    LONGEST_ATTEMPT_S,
    LONGEST_WAIT_S,
    READ_AGAIN_S,
    Attempt,
    Credentials,
    CurrentLogin,
)
from bridge.model.errors import BridgeError, ConfigurationError, LoginRefused, RetryLater
from bridge.wiring.connectors import build_system, load_connector
from tests.config.files import ENVIRON, SYSTEM, write


class PasswordServer:
    """The other side, which takes one password, and the file that the bridge reads its own from."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = self.file = "old"
        self.tries: list[tuple[float, str]] = []
        self.readable = True
        self.login = CurrentLogin(Credentials("old"), self.read, lambda: self.now)

    def read(self) -> Credentials:
        if not self.readable:
            raise ConfigurationError("the secret file can't be read")
        return Credentials(self.file)

    def log_in(self) -> None:
        """As connectors do it."""
        self.login.log_in_blocking(self.check)

    def check(self, attempt: Attempt) -> None:
        """What the other side says of these secrets."""
        self.tries.append((self.now, attempt.credentials.url))
        if attempt.credentials.url != self.takes:
            raise LoginRefused("refused")

    def outcome(self) -> type[BridgeError] | None:
        try:
            self.log_in()
        except BridgeError as error:
            return type(error)
        return None


def test_a_new_secret_in_the_file_is_taken_at_once() -> None:
    other = PasswordServer()
    other.log_in()
    other.takes = other.file = "new"
    other.log_in()
    assert [secret for _, secret in other.tries] == ["old", "old", "new"]


def test_a_file_that_gets_the_secret_later_is_waited_for_and_then_tried_within_a_second() -> None:
    other = PasswordServer()
    other.log_in()
    other.takes = "new"
    for _ in range(600):
        assert other.outcome() is RetryLater
        other.now += 0.1
    assert len(other.tries) < 10
    other.file = "new"
    other.now += 1
    assert other.outcome() is None


def test_a_secret_that_never_worked_is_the_configuration_s_fault_and_not_tried_in_a_hurry() -> None:
    other = PasswordServer()
    other.takes = "another"
    for _ in range(100):
        assert other.outcome() is LoginRefused
        other.now += 0.1
    assert len(other.tries) < 6


def test_a_file_that_is_not_there_for_a_moment_is_read_again() -> None:
    other = PasswordServer()
    other.log_in()
    other.takes, other.readable = "new", False
    assert other.outcome() is RetryLater
    other.readable, other.file = True, "new"
    other.now += 1
    assert other.outcome() is None


def test_the_words_say_what_is_waited_for_and_no_secret() -> None:
    other = PasswordServer()
    other.log_in()
    other.takes = "new"
    with pytest.raises(
        RetryLater, match="refused; it was accepted before: the secret is read again"
    ):
        other.log_in()
    with pytest.raises(RetryLater, match="refused; it was accepted before"):
        other.log_in()


@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_secret_in_a_variable_is_said_to_need_a_restart(tmp_path: Path, kind: str) -> None:
    """It was promised that the variable of a running process is read again."""
    (tmp_path / "password").write_text("an0ther")
    reference = "${env:ERP_PASSWORD}" if kind == "env" else f"${{file:{tmp_path}/password}}"
    url = f"postgresql://bridge:{reference}@erp-db:5432/erp"
    config = load(write(tmp_path, system={**SYSTEM, "url": url}), ENVIRON)
    system = build_system("acme", config.systems[0], load_connector(config.systems[0]))
    attempt = system.shared_login.attempt()
    system.shared_login.accepted(attempt)
    # Not that there is a new one: the variable isn't set in this process.
    refusal = system.shared_login.refused(attempt, LoginRefused("refused"))
    assert ("restart to use a new secret" in str(refusal)) is (kind == "env")
    assert ("is read again at each try" in str(refusal)) is (kind == "file")


def test_of_all_parts_that_ask_at_once_one_tries_a_refused_secret() -> None:
    """Each wait ended for all of them: as many tries as parts, five of which lock many an account."""
    other = PasswordServer()
    other.log_in()
    other.takes = "new"
    assert other.outcome() is RetryLater
    other.now += FIRST_WAIT_S
    trying = other.login.attempt()
    for _ in range(9):
        assert other.outcome() is RetryLater
    wrong = other.login.refused(trying, LoginRefused("refused"))
    assert isinstance(wrong, RetryLater)
    assert len(other.tries) == 2
    other.now += 2 * FIRST_WAIT_S
    other.login.ended(other.login.attempt())  # of what is shown to everybody, say
    other.login.attempt()  # is never heard of again
    other.now += LONGEST_ATTEMPT_S
    other.takes = "old"
    assert other.outcome() is None
    assert other.outcome() is None


@given(st.lists(st.integers(0, 400), max_size=80))
def test_the_waits_between_two_tries_of_a_refused_secret_grow(pauses: list[int]) -> None:
    """However often the parts of a process ask: an account that is tried each second is locked."""
    other = PasswordServer()
    other.log_in()
    other.takes = "new"
    for pause in (0, *pauses):
        assert other.outcome() is RetryLater
        other.now += pause
    refused = [at for at, _ in other.tries[1:]]
    for number, (earlier, later) in enumerate(pairwise(refused)):
        assert later - earlier >= min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S)
    other.file = "new"
    other.now += READ_AGAIN_S
    assert other.outcome() is None


def test_a_system_is_handed_to_another_process_with_its_login() -> None:
    """As the acceptance suites of connectors do."""
    system = System("b", "erp", "x://u:p@h", "x://h", None, (), login=("me", "pw"))
    other = pickle.loads(pickle.dumps(system))  # noqa: S301 - made here
    assert other == system
    assert other.shared_login.attempt().credentials == Credentials("x://u:p@h", ("me", "pw"))


async def test_a_login_is_tried_again_at_once_with_a_secret_that_was_replaced_meanwhile() -> None:
    secrets = iter([Credentials("new")])
    logins = CurrentLogin(Credentials("old"), lambda: next(secrets))
    tried: list[str] = []

    async def use(attempt: Attempt) -> str:
        tried.append(attempt.credentials.url)
        if attempt.credentials.url == "old":
            raise LoginRefused("the password is wrong")
        return "a session"

    assert await logins.log_in(use) == "a session"
    assert tried == ["old", "new"]


async def test_a_login_that_stays_refused_raises_and_is_not_tried_again() -> None:
    logins = CurrentLogin(Credentials("old"), None, lambda: 0.0)
    tried: list[str] = []

    async def use(attempt: Attempt) -> None:
        tried.append(attempt.credentials.url)
        raise LoginRefused("the password is wrong")

    for _ in range(2):
        with pytest.raises(LoginRefused, match="the password is wrong"):
            await logins.log_in(use)
    assert tried == ["old"], "the second time it is too early"


async def test_what_is_shown_to_everybody_does_not_prove_a_login() -> None:
    logins = CurrentLogin(Credentials("old"))

    async def answered(_: Attempt) -> None:
        return None

    async def refuse(_: Attempt) -> None:
        raise LoginRefused("the password is wrong")

    await logins.log_in(answered, proves_login=False)
    with pytest.raises(LoginRefused):
        await logins.log_in(refuse)
