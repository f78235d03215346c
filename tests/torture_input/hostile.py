"""Values, commands and exceptions that nobody would send on purpose: the same ones for the same seed."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge import Command

TEXTS = (
    "", " ", "--5", "5 ", "+5", "0x1F", "1e5", "1e300000000", "9" * 5000, "-0", "NaN", "Infinity",
    "null", "é", "\x00", "\ud83d", "half \udc00 an emoji", "\ufeffbom", "a\nb\r\nc", "'; drop table orders; --",
    "%s %(x)s {0} :key", "x" * 70_000, "=" * 5, "YQ", "Zm9v!", "true", "2026-02-30", "24:00:00",
    "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "2030-01-01T00:00:00Z",
    "2030-01-01T00:00:00", "2030-01-01T00:00:00+99:99", "[" * 2000, "{}", "[1,2", "\u202egnp.exe",
)  # fmt: skip


def _forever() -> datetime:
    return datetime.max  # noqa: DTZ901 - its missing zone is what is hostile


class _Unprintable:
    """Whatever describes it raises."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


class _Wordless(Exception):
    """An exception that can't say what happened."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class _Skewed(tzinfo):
    """A zone that fails when it is asked."""

    def utcoffset(self, _when: datetime | None) -> timedelta:
        raise OverflowError("no offset")

    dst = utcoffset

    def tzname(self, _when: datetime | None) -> str:
        raise OverflowError("no name")


class Hostile:
    """A stream of hostile things from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - to be repeated

    def text(self) -> str:
        """A text that is hard to parse, to encode or to store."""
        if self.random.random() < 0.7:
            return self.random.choice(TEXTS)
        points = [
            self.random.choice((0, 9, 34, 92, 0x7F, 0xE9, 0xD800, 0xDFFF, 0x1F600))
            for _ in range(5)
        ]
        return "".join(map(chr, points))

    def scalar(self) -> Any:
        """A value of any type, JSON's and Python's own."""
        return self.random.choice(
            (
                self.text, self.text, self.text, lambda: None, lambda: True, lambda: 10**400,
                lambda: -(2**63) - 1, lambda: 2**63, lambda: 0.1, lambda: math.nan, lambda: math.inf,
                lambda: Decimal("NaN"), lambda: Decimal("1E+300000"), lambda: Decimal("-0.00"),
                lambda: b"\xff\x00", _forever, lambda: datetime.max.replace(tzinfo=UTC),
                lambda: datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
                lambda: datetime(2030, 1, 1, tzinfo=_Skewed()),
                lambda: UUID(int=0), lambda: {1, 2}, lambda: 3 + 4j, object, _Unprintable,
                lambda: self.random.randrange(-5, 500),
            )
        )()  # fmt: skip

    def value(self, depth: int = 2) -> Any:
        """A scalar, or some of them in lists and mappings, whose keys need not be text."""
        if depth == 0 or self.random.random() < 0.7:
            return self.scalar()
        if self.random.random() < 0.5:
            return [self.value(depth - 1) for _ in range(self.random.randrange(3))]
        if self.random.random() < 0.1:
            endless: list[Any] = []
            endless.append(endless)
            return endless
        keys: tuple[Any, ...] = ("a", "", "\ud800", 5, None, b"k", ("t",))
        return {
            self.random.choice(keys): self.value(depth - 1) for _ in range(self.random.randrange(3))
        }

    def command(self, key: str) -> Any:
        """A Command of which something is hostile, or something that is none."""
        args: dict[Any, Any] = {"qty": 5, "amount": "9.90", "note": "fine"}
        fields: dict[str, Any] = {"name": "erp.set_order", "key": key, "args": args}
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 4))):
            hostile_part = self.random.choice(
                ("args", "args", "args", "args", "extra", "key", "field", "whole")
            )
            if hostile_part == "args":
                args[self.random.choice(("qty", "amount", "note", "due", "data", "flag"))] = (
                    self.value()
                )
            elif hostile_part == "extra":
                args[self.random.choice(("new", "", "\ud800", 5, None))] = self.value()
            elif hostile_part == "key":
                fields["key"] = self.value()
            elif hostile_part == "whole":
                fields["args"] = self.value()
            else:
                name = self.random.choice(
                    ("name", "expect", "idempotency_key", "reason", "confidence", "deadline")
                )
                fields[name] = self.value(0)
        if self.random.random() < 0.05:
            return self.value()
        return Command(**fields)

    def failure(self) -> BaseException:
        """An exception of any kind, with words of any kind or none."""
        return self.random.choice(
            (
                lambda: ValueError(self.text()), lambda: KeyError(self.value()), _Wordless,
                lambda: RuntimeError(_Unprintable()), lambda: OSError(5, self.text()), SystemExit,
                lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, self.text()), GeneratorExit,
                lambda: BaseExceptionGroup("many", [ValueError(), SystemExit()]), MemoryError,
                lambda: ExceptionGroup(self.text(), [_Wordless()]), StopIteration, StopAsyncIteration,
                asyncio.CancelledError, RecursionError, AssertionError, TimeoutError, EOFError,
            )
        )()  # fmt: skip

    def json_text(self) -> str:
        """Text that is JSON, nearly JSON, or JSON that costs much to read."""
        words = ('"--5"', "1e300000000", "-1e-99999", "NaN", "[" * 3000, '{"a":1,"a":2}', "9" * 5000, "null", "{}",
                 '{"qty":"' + "9" * 5000 + '"}', '"\\ud800"', "{", "", "[]", '{"qty":1e999}', '{"":{}}',
                 '{"note":"\\udfff"}', '{"due":"0001-01-01T00:00:00+01:00"}', "\x00", '{"data":"é"}')  # fmt: skip
        return self.random.choice(words)

    def junk(self) -> bytes:
        """Bytes that stand where a framed record should."""
        body = self.random.randbytes(self.random.randrange(60))
        head: Callable[[], bytes] = self.random.choice(
            (
                lambda: b"", lambda: b"\x00", lambda: b"\x00\x00\x00\x00\x01", lambda: b"\x00\x00\x00\x00\x02",
                lambda: b"\x00" + self.random.randrange(40).to_bytes(4, "big"),
                lambda: b"\x00\x7f\xff\xff\xff", lambda: b"{", lambda: b"\xff\xff\xff\xff\x0f" * 3,
            )
        )  # fmt: skip
        return head() + body
