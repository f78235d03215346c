"""The YAML that a configuration may use: everything ambiguous is refused."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode

from bridge.model.error_text import error_message

MAX_ALIASES = 10_000
MAX_DEPTH = 100
MAX_DIGITS = 100
MAX_COPIED_NODES = 100_000
"""How many nodes all aliases of a file may add, each counted with all nodes below it."""

_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
_PREFIX = "tag:yaml.org,2002:"


class StrictComposer(Composer):
    """Composes nodes as ruamel does, and refuses what can't be read safely.

    Refused as MarkedYAMLError, with the line: nesting deeper than `MAX_DEPTH` (set as the loader's
    `max_depth`), an alias within what it names, aliases without end, tags, another YAML than 1.2,
    numbers with leading zeros, and keys that aren't text, a whole number, `true` or `false`. Every
    key becomes text, as written.
    """

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self._aliases = 0
        self._copied_nodes = 0
        self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_document(self: Any) -> Any:
        event = self.parser.peek_event()
        if event.version not in {None, (1, 2)}:
            raise _refusal(event, "files are YAML 1.2: remove the %YAML line")
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            self._count_alias(event)
            node = super().compose_node(parent, index)
        else:
            _check_tag(event)
            before = self._nodes
            self._nodes += 1
            self._sizes.pop(event.anchor, None)
            node = super().compose_node(parent, index)
            if event.anchor is not None:
                self._sizes[event.anchor] = self._nodes - before
        if isinstance(parent, MappingNode) and index is None:
            return self._text_key(event, node)
        if isinstance(node, ScalarNode):
            _check_number(event, node)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if (first := lines.get(key.value)) is not None:
                raise MarkedYAMLError(
                    problem=f"the key {key.value!r} is already in line {first}",
                    problem_mark=key.start_mark,
                )
            lines[key.value] = line
        return node

    def _count_alias(self, event: AliasEvent) -> None:
        name = event.anchor
        if name not in self.anchors:
            raise _refusal(event, f"*{name} is used, but there is no &{name} before it")
        if name not in self._sizes:
            raise _refusal(event, f"*{name} is used inside of &{name} itself")
        size = self._sizes[name]
        self._aliases += 1
        self._nodes += size
        self._copied_nodes += size
        if self._aliases > MAX_ALIASES or self._copied_nodes > MAX_COPIED_NODES:
            raise _refusal(
                event,
                f"*{name} and the aliases before it expand this file too much: at most"
                f" {MAX_ALIASES:,} aliases, which repeat {MAX_COPIED_NODES:,} items in total",
            )

    def _text_key(self, event: Any, node: Any) -> Any:
        """The key as text. A copy: an anchor's node may be a value elsewhere."""
        if not isinstance(node, ScalarNode):
            raise _refusal(event, "a key must be text, not a list or a mapping")
        kind = str(node.tag).removeprefix(_PREFIX)
        if kind in {"str", "merge"}:
            return node
        text = node.value
        if kind == "bool":
            text = text.lower()
        elif kind != "int" or not _WHOLE_NUMBER.fullmatch(text):
            hint = f'put it in quotes: "{text}"' if text else 'give it one, or put it in quotes: ""'
            raise _refusal(event, f"the key {text!r} is not text in YAML; {hint}")
        tag = self.resolver.resolve(ScalarNode, text, (False, True))
        return ScalarNode(tag, text, node.start_mark, node.end_mark, comment=node.comment)


class StrictConstructor(RoundTripConstructor):
    """Converts nodes to values; one that can't be converted (a date, an endless number) names its
    line.
    """

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (MarkedYAMLError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a value does to its constructor
            raise MarkedYAMLError(
                problem=f"a value that can't be read: {error_message(error, 100)}",
                problem_mark=node.start_mark,
            ) from None


def _refusal(event: Any, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _check_tag(event: Any) -> None:
    tag = event.ctag
    if tag is not None and str(tag) != "!":
        name = str(tag).replace(_PREFIX, "!!")
        raise _refusal(event, f"the tag {name} is not supported here: remove it")


def _check_number(event: Any, node: ScalarNode) -> None:
    if node.tag != f"{_PREFIX}int":
        return
    text = node.value
    if len(text) > MAX_DIGITS:
        raise _refusal(event, f"a number of {len(text):,} digits; at most {MAX_DIGITS} are allowed")
    if _LEADING_ZERO.fullmatch(text):
        raise _refusal(
            event, f'{text} would lose its zeros as a number; put it in quotes: "{text}"'
        )
