"""A registry's responses, within bounds: anything else raises NoAnswer, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import httpx

from bridge.log.registry_port import RegisteredSchema
from bridge.model.redaction import redact_cut

MAX_ANSWER_BYTES: Final = 16 * 2**20
_MAX_WORDS_CHARACTERS: Final = 500


class NoAnswer(ValueError):
    """The response isn't a registry's."""


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """`status`, and the unparsed content."""

    status: int
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON. Raises NoAnswer."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise NoAnswer("the answer is not JSON; check the url") from None

    @property
    def error_code(self) -> int:
        """The API's own code in an error's body; 0 if there is none."""
        code = self._of_error("error_code")
        return code if type(code) is int else 0

    @property
    def reason(self) -> str:
        """The registry's message, in one line."""
        message = self._of_error("message")
        text = message if isinstance(message, str) else self.content.decode(errors="replace")
        return " ".join(redact_cut(text, 4096).split())[:_MAX_WORDS_CHARACTERS]

    def _of_error(self, name: str) -> Any:
        try:
            body = self.body
        except NoAnswer:
            return None
        return body.get(name) if isinstance(body, dict) else None


async def read_answer(response: httpx.Response) -> RegistryAnswer:
    """The whole response. Raises NoAnswer if it has more than `MAX_ANSWER_BYTES`."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise NoAnswer(f"the answer has more than {MAX_ANSWER_BYTES // 2**20} MB")
    return RegistryAnswer(response.status_code, bytes(content))


def schema_id_of(body: Any) -> int:
    """The id in what registering answers. Raises NoAnswer."""
    number = body.get("id") if isinstance(body, dict) else None
    if type(number) is not int or not 0 <= number < 2**31:
        raise NoAnswer("the answer names no schema id")
    return number


def schema_text_of(body: Any) -> str:
    """The requested schema. Raises NoAnswer."""
    text = body.get("schema") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise NoAnswer("the answer holds no schema")
    return text


def registered_of(body: Any) -> RegisteredSchema:
    """A version of a subject. Raises NoAnswer."""
    return RegisteredSchema(schema_id_of(body), schema_text_of(body))


def version_numbers_of(body: Any) -> list[int]:
    """The numbers of a subject's versions, in order; None: there are none. Raises NoAnswer."""
    numbers = [] if body is None else body
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise NoAnswer("the answer is no list of versions")
    return sorted(numbers)
