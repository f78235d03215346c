"""Each place that takes secrets out of texts does so by itself: where another one has done it already,
nothing else would show that it is gone.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bridge.agent.error_trace import error_trace
from bridge.capture.report.status_record import SourceStatus, dump
from bridge.cli.app import _fail
from bridge.cli.check.result_lines import show
from bridge.cli.log_output.notice_lines import line_logger
from bridge.cli.output.safe_text import SafeWriter
from bridge.config.secrets import resolve_references
from bridge.model import errors
from bridge.model.error_text import clean_text, describe_error
from bridge.model.errors import BridgeError, ConfigurationError, RowError
from bridge.model.receipt import Outcome, Receipt
from bridge.model.redaction import redact, register_secret
from bridge.model.system_records import (
    _SENTENCES,
    SYSTEM_TOPICS,
    AuditRecord,
    DeadLetter,
    decode,
    encode,
)
from bridge.plan.transform import _mask
from bridge.wiring.check.result import CheckResult

AT = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def late() -> str:
    """A secret of which nothing knows yet."""
    return f"late-{uuid4().hex}"


@pytest.fixture
def secret(late: str) -> str:
    register_secret(late)
    return late


def test_every_error_is_redacted_as_it_is_made(secret: str) -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BridgeError)
    ]
    assert len(kinds) > 8
    for kind in kinds:
        arguments = ("code", secret) if issubclass(kind, errors.Rejected) else (secret,)
        error = kind(*arguments)
        assert secret not in str(error) + repr(error), kind
    assert RowError(secret).reason == "***"


def test_what_any_error_says_is_redacted_before_it_is_cut(secret: str) -> None:
    assert clean_text(f"ab{secret}", 9) == "ab***"
    assert describe_error(ValueError(secret)) == "ValueError: ***"
    with pytest.raises(ValueError, match="late") as caught:
        raise ValueError(secret)
    assert secret not in error_trace(caught.value)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_of_the_log_is_redacted_whatever_is_in_it(
    secret: str, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    line_logger(as_json=as_json).warning("event", fact=secret, nested={"a": [secret]})
    assert "***" in stream.getvalue()
    assert secret not in stream.getvalue()


def test_stderr_is_redacted_whoever_writes_to_it(secret: str) -> None:
    buffer = io.BytesIO()
    writer = SafeWriter(io.TextIOWrapper(buffer, "utf-8"), redacts=True)
    handler = logging.StreamHandler(writer)
    handler.emit(logging.makeLogRecord({"msg": f"1 {secret}"}))
    print("2", secret, file=writer)
    writer.writelines([f"3 {secret}\n"])
    writer.flush()
    assert buffer.getvalue() == b"1 ***\n2 ***\n3 ***\n"


def test_how_a_command_fails_is_redacted_once_more(
    late: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ConfigurationError(f"\x1b[2J {late}")
    register_secret(late)
    with pytest.raises(SystemExit):
        _fail(error)
    assert capsys.readouterr().err == "\\u001b[2J ***\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_what_check_found_is_redacted(
    secret: str, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    show(CheckResult("error", "system", secret, secret, secret, secret), as_json=as_json)
    printed = capsys.readouterr().out
    assert secret not in printed
    assert printed.count("***") >= 3


def _records(text: str) -> dict[str, Any]:
    return {
        "receipt": Receipt("id", Outcome.FAILED, "code", text, None, None, None, AT),
        "audit": AuditRecord("id", "name", "failed", "by", AT, message=text),
        "dead": DeadLetter("row", "s.e", text, AT, error=text, traceback=text),
    }


@pytest.mark.parametrize("kind", ["receipt", "audit", "dead"])
def test_a_record_is_redacted_when_it_is_written_and_when_it_is_read(late: str, kind: Any) -> None:
    """The secret may have come to be known in between."""
    record = _records(late)[kind]
    unaware = encode(kind, record)
    assert late.encode() in unaware
    register_secret(late)
    assert late.encode() not in encode(kind, record)
    assert late not in str(decode(kind, unaware))


def test_the_sentences_of_records_are_fields_of_theirs() -> None:
    """`trace` was none: a letter's traceback was redacted by nothing of this."""
    for kind, sentences in _SENTENCES.items():
        assert set(sentences) <= {field.name for field in fields(SYSTEM_TOPICS[kind].record)}


def test_a_status_is_redacted(secret: str) -> None:
    texts = {"shop.order": secret}
    owed = {"shop.order": {"reason": secret, "since": 1}}
    status = SourceStatus(
        "shop", "retrying", 1, 1, secret, troubles=texts, remarks=texts, owed=owed,
        results=({"failed": secret},),
    )  # fmt: skip
    stored = dump(status).decode()
    assert secret not in stored
    assert json.loads(stored)["remarks"] == {"shop.order": "***"}


def test_an_address_that_a_reference_stands_for_is_hidden_with_its_password_alone(
    late: str,
) -> None:
    url = f"postgresql://bridge:{late}@db/erp"
    resolve_references("${env:URL}", {"URL": url}, Path())
    assert redact(f"a {late} b {url}") == "a *** b ***"


@pytest.mark.parametrize("key", [None, b""])
def test_nothing_is_masked_by_a_key_that_is_empty(key: bytes | None) -> None:
    """Whoever has the hashes could name what they were."""
    with pytest.raises(ConfigurationError, match="needs a key"):
        _mask("hash", key)
