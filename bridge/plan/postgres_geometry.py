"""PostgreSQL's binary geometric values as the texts that the server writes of them."""

from __future__ import annotations

import struct

from bridge.plan.postgres_output import double_text

_FLOAT8 = struct.Struct(">d")


def point_text(data: bytes) -> str:
    """`point`; also `box`, whose two corners the server writes as it does points."""
    return _points(_floats(data))


def lseg_text(data: bytes) -> str:
    """`lseg`."""
    return f"[{_points(_floats(data))}]"


def polygon_text(data: bytes) -> str:
    """`polygon`."""
    return f"({_points(_floats(data, 4))})"


def line_text(data: bytes) -> str:
    """`line`."""
    return "{" + ",".join(_floats(data)) + "}"


def path_text(data: bytes) -> str:
    """`path`: in parentheses when it is closed, in brackets when it is open."""
    inner = _points(_floats(data, 5))
    return f"({inner})" if data[0] else f"[{inner}]"


def circle_text(data: bytes) -> str:
    """`circle`."""
    x, y, radius = _floats(data)
    return f"<({x},{y}),{radius}>"


def _floats(data: bytes, at: int = 0) -> list[str]:
    return [double_text(value) for (value,) in _FLOAT8.iter_unpack(data[at:])]


def _points(texts: list[str]) -> str:
    return ",".join(f"({x},{y})" for x, y in zip(texts[::2], texts[1::2], strict=True))
