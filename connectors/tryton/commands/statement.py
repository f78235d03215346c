"""The statements of commands: `run:` and `probe:` of a Tryton system. Pure.

```
CREATE sale.sale party=:party, reference=:id, lines=[(product=:product, quantity=2, unit=1)]
WRITE sale.sale(:key) comment=:comment, lines=[(id=:line, quantity=:quantity)]
DELETE sale.line(:key)
BUTTON sale.sale(:key)/confirm despite 'check_move_quantity'
FIND sale.sale(:key) state=['confirmed', 'processing']     in `probe:`: is there such a row?
```

Values are those of `connectors.erp.statement_parser`. Rows of a one2many are in brackets, or come as
a parameter with JSON; a WRITE changes those that have an `id` and creates the others. A row is named by
its id, or by fields that identify it: `party.party(code=:key)`. `despite` names the warnings that are
ignored; any other one refuses the command.

Each call of Tryton is a transaction of its own, so a command is one statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from bridge.model.errors import ConfigurationError
from connectors.erp.statement_parser import Scalar, StatementParser, token_pattern

Verb = Literal["CREATE", "WRITE", "DELETE", "BUTTON", "FIND"]
VERBS: Final[dict[str, Verb]] = {verb: verb for verb in get_args(Verb)}


@dataclass(frozen=True, slots=True)
class RowLiteral:
    """`(product=:product, quantity=2)`: a row of a one2many."""

    pairs: Pairs


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[...]`: rows of a one2many, ids of a many2many, or what FIND takes any of."""

    items: tuple[RowLiteral | Value, ...]


Value = Scalar | ListLiteral
Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class TrytonStatement:
    """One call.

    - `key`: names the row; the name is "" where only a value is given.
    - `button`: of BUTTON; else empty.
    - `fields`: of CREATE and WRITE what is set, of FIND what the row must hold.
    - `despite`: the warnings that are ignored.
    """

    verb: Verb
    model: str
    key: Pairs | None
    button: str
    fields: Pairs
    despite: frozenset[str]


DESPITE = "despite"


def parse(text: str) -> TrytonStatement:
    """The statement of `run:` or `probe:`. Raises ConfigurationError that names the place."""
    if not text.strip():
        raise ConfigurationError(
            "a statement for Tryton is missing, such as WRITE sale.sale(:key) comment=:comment"
        )
    return _TrytonParser(text.strip()).parse()


class _TrytonParser(StatementParser[ListLiteral]):
    token = token_pattern(r"[A-Za-z_][\w.-]*", r"[()\[\],=/]")
    field_word = "a field"

    def parse(self) -> TrytonStatement:
        verb = VERBS.get(self._read_name("a verb").upper())
        if verb is None:
            raise self._error(f"it should begin with one of {', '.join(VERBS)}")
        model = self._read_name("a model")
        key: Pairs | None = None
        if self._take("("):
            key = self._read_pairs(")", bare=True)
            if not key:
                raise self._error(f"the row has no name: {model}(:key)")
        button = self._read_button(verb, model, key)
        self._check_key(verb, model, key)
        fields = self._read_pairs("", bare=False)
        despite = self._read_despite(verb)
        if verb == "WRITE" and not fields:
            raise self._error("WRITE changes at least one field: comment=:comment")
        if verb in {"DELETE", "BUTTON"} and fields:
            raise self._error(f"{verb} takes no fields")
        if verb == "FIND" and key is None and not fields:
            raise self._error(f"FIND names a row, or values of it: FIND {model} reference=:id")
        return TrytonStatement(verb, model, key, button, fields, despite)

    def _read_button(self, verb: Verb, model: str, key: Pairs | None) -> str:
        if verb == "BUTTON":
            if key is None or not self._take("/"):
                raise self._error(
                    f"BUTTON names a row and its button: BUTTON {model}(:key)/confirm"
                )
            return self._read_name("a button")
        if self._take("/"):
            raise self._error(f"a button is pressed by BUTTON {model}(:key)/confirm")
        return ""

    def _check_key(self, verb: Verb, model: str, key: Pairs | None) -> None:
        if verb in {"WRITE", "DELETE"} and key is None:
            raise self._error(f"{verb} names its row: {verb} {model}(:key)")
        if verb == "CREATE" and key is not None:
            raise self._error("CREATE creates a new row: its values come after the model")

    def _read_despite(self, verb: Verb) -> frozenset[str]:
        names: set[str] = set()
        if self._next_index < len(self._tokens):
            self._read_token("")
            if verb == "FIND":
                raise self._error("FIND changes nothing, so there are no warnings")
            while not names or self._take(","):
                kind, text = self._read_token("a warning's name")
                if kind != "text":
                    raise self._error(f"a warning's name is in quotes: {DESPITE} 'NAME'")
                names.add(text[1:-1].replace("''", "'"))
            if self._next_index < len(self._tokens):
                raise self._error(f"{self._tokens[self._next_index][1]!r} is too much at its end")
        return frozenset(names)

    def _is_over(self, end: str) -> bool:
        if super()._is_over(end):
            return True
        if end:
            return False
        following = self._tokens[self._next_index : self._next_index + 2]
        return following[:1] == [("name", DESPITE)] and following[1:] != [("character", "=")]

    def _read_list(self) -> ListLiteral:
        items: list[RowLiteral | Value] = []
        while not self._take("]"):
            if items and not self._take(","):
                raise self._error("a comma is missing")
            if self._take("("):
                items.append(RowLiteral(self._read_pairs(")", bare=False)))
            else:
                items.append(self._read_scalar())
        return ListLiteral(tuple(items))

    def _unreadable(self, rest: str) -> ConfigurationError:
        hint = "; a command is one statement" if rest.startswith(";") else ""
        return self._error(f"{rest!r} can't be read{hint}")
