"""Whatever a registry's address answers, it is an answer or one of the bridge's errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.registry import response as answers
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry.response import (
    NoAnswer,
    RegistryAnswer,
    registered_of,
    schema_id_of,
    schema_text_of,
    version_numbers_of,
)
from bridge.model.errors import BridgeError

BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "schema", "message", "error_code", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
CONTENTS = st.binary(max_size=40) | BODIES.map(lambda body: json.dumps(body).encode())


@given(BODIES, st.sampled_from([registered_of, schema_id_of, schema_text_of, version_numbers_of]))
def test_a_body_is_what_was_asked_for_or_none_of_a_registrys(
    body: Any, read: Callable[[Any], object]
) -> None:
    try:
        read(body)
    except NoAnswer:
        return


@given(st.integers(200, 599), CONTENTS)
def test_an_answer_is_read_or_none_of_a_registrys(status: int, content: bytes) -> None:
    answer = RegistryAnswer(status, content)
    assert len(answer.reason) <= 500
    assert isinstance(answer.error_code, int)
    try:
        _ = answer.body
    except NoAnswer:
        return


async def answers_to(content: bytes, status: int = 200) -> list[object]:
    """What comes of each question to an address that always answers that."""
    registry = HttpRegistry("http://registry", patience=0.0)
    registry._client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    )
    outcomes: list[object] = []
    try:
        for question in (
            registry.latest("s"),
            registry.versions("s"),
            registry.stored(1),
            registry.register("s", '"string"'),
            registry.set_compatibility("s", "FULL"),
        ):
            try:
                outcomes.append(await question)
            except (BridgeError, KeyError) as error:
                outcomes.append(error)
    finally:
        await registry.close()
    return outcomes


@pytest.mark.parametrize("status", [200, 404, 409, 500])
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"5", b"[]", b'["1"]', b"[1]", b"{}", b'{"id": "x"}', b'{"id": 1e999}',
     b'{"id": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"schema": 5, "id": 1}', b"\xff",
     b'{"error_code": [], "message": {}}'],
)  # fmt: skip
async def test_only_errors_of_the_bridge_come_of_answers_that_are_none(
    content: bytes, status: int
) -> None:
    await answers_to(content, status)


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", 2**20)
    outcomes = await answers_to(b" " * (2**20 + 1))
    assert all("more than 1 MB" in str(error) for error in outcomes), outcomes
