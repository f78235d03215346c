"""The statements of commands: `run:` and `probe:` of an OData system. Pure.

```
POST Orders customer_ID=:customer, note='made by an agent'      a new row
PATCH Orders(:key) status=:status, note=null                    some properties of a row
DELETE Lines(order_ID=:key_order_id, position=:key_position)    a row goes
CALL Orders(:key)/confirm reason=:reason                        an action of a row (V4)
CALL take product=:product, quantity=1                          an action or function import
GET Orders(:key) status='C'                                     in `probe:`: is there such a row?
```

A value is a `:parameter`, 'text' (a quote is doubled), a number, `true`, `false` or `null`. A
property inside of another is `Address/City`; a navigation property takes JSON (rows that are made
together with theirs); `customer@odata.bind` takes the path of a row. Several statements, each on a
line of its own or after a `;`, are one change set: all of them happen, or none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Never

from bridge.model.errors import ConfigurationError
from connectors.erp.statement_parser import Parameter, Scalar, StatementParser, token_pattern

Verb = Literal["POST", "PATCH", "DELETE", "CALL", "GET"]
_VERBS: Final[dict[str, Verb]] = {
    "POST": "POST",
    "PATCH": "PATCH",
    "DELETE": "DELETE",
    "CALL": "CALL",
    "GET": "GET",
}


Value = Scalar
Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class ODataStatement:
    """One request. `key` pairs have the name "" where only a value is given. `action`: of CALL."""

    verb: Verb
    set: str
    key: Pairs | None
    action: str
    fields: Pairs

    @property
    def parameters(self) -> frozenset[str]:
        """The `:parameters` that it names."""
        pairs = (*(self.key or ()), *self.fields)
        return frozenset(value.name for _, value in pairs if isinstance(value, Parameter))


_PARTS = re.compile(r"((?:'(?:[^']|'')*'|[^';\n])*)[;\n]?")


def parse(text: str) -> tuple[ODataStatement, ...]:
    """The statements of `run:`. Raises ConfigurationError that names the place."""
    parts = [part.strip() for part in _PARTS.findall(text)]
    statements = tuple(_ODataParser(part).statement() for part in parts if part)
    if not statements:
        raise ConfigurationError("a statement of OData is missing, such as PATCH Orders(:key) a=:a")
    return statements


def parameters_of(text: str) -> frozenset[str]:
    """The `:parameters` that the statements name. Raises ConfigurationError."""
    return frozenset().union(*(statement.parameters for statement in parse(text)))


class _ODataParser(StatementParser[Never]):
    token = token_pattern(r"[A-Za-z_][\w.]*(?:/[A-Za-z_][\w.]*)*(?:@odata\.bind)?", r"[(),=/]")
    field_word = "a property"

    def statement(self) -> ODataStatement:
        verb = _VERBS.get(self._read_name("a verb").upper())
        if verb is None:
            raise self._error(f"it should begin with one of {', '.join(_VERBS)}")
        target = self._read_name("an entity set or an action")
        key: Pairs | None = None
        if self._take("("):
            key = self._read_pairs(")", bare=True)
        action = ""
        if verb == "CALL":
            if key is None:
                target, action = "", target
            elif self._take("/"):
                action = self._read_name("an action")
            else:
                raise self._error("CALL of a row names its action: CALL Orders(:key)/confirm")
        elif verb in {"PATCH", "DELETE"} and key is None:
            raise self._error(f"{verb} names its row: {verb} {target}(:key)")
        elif verb == "POST" and key is not None:
            raise self._error("POST creates a new row: its key is given among the properties")
        fields = self._read_pairs("", bare=False)
        if verb == "PATCH" and not fields:
            raise self._error("PATCH changes at least one property: status=:status")
        if verb == "DELETE" and fields:
            raise self._error("DELETE takes no properties")
        return ODataStatement(verb, target, key, action, fields)
