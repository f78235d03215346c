"""A service that refuses questions as real ones do, and answers the others rightly: each refusal is one
word of data.

It holds `Items` (a key of two properties), `Papers` (a GUID as key) and `Notes` (a text as key), all with
a time of change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone

Row = dict[str, Any]
REFUSALS: Mapping[str, str] = {
    "count": "`$count`, in whatever form",
    "inline count": "`$count=true`; `/$count` is answered",
    "top": "a `$top` over 10 (the services of ASP.NET)",
    "no rows": "`$top=0`",
    "guids": "`gt` and `lt` of GUIDs",
    "or": "`or` over different properties (Business Central)",
    "gt": "`gt` and `lt` of whatever is no time",
    "order": "`$orderby`",
    "descending": "`$orderby` downwards",
    "order by time": "`$orderby` by the time of change",
    "null": "comparisons with null",
    "skip": "`$skip`",
    "in": "`in`",
    "select": "nothing, but gives all properties whatever `$select` says",
    "time": "`$filter` by the time of change",
}
MAX_TOP = 10
PAGE = 4
"""Rows of a page of the service's own."""
SETS: Mapping[str, Mapping[str, str]] = {
    "Items": {"order_no": "Edm.String", "position": "Edm.Int32", "qty": "Edm.Int32"},
    "Papers": {"id": "Edm.Guid", "qty": "Edm.Int32"},
    "Notes": {"id": "Edm.String", "qty": "Edm.Int32"},
}
KEYS: Mapping[str, tuple[str, ...]] = {
    "Items": ("order_no", "position"),
    "Papers": ("id",),
    "Notes": ("id",),
}
CHANGED = "modifiedAt"
_COMPARED = re.compile(r"(\w+) (eq|ne|gt|ge|lt|le|in) (\([^)]*\)|'(?:[^']|'')*'|[^\s()]+)")


def rows_of(table: str, count: int) -> list[Row]:
    """Rows as the service's users have made them, in no order that anybody would sort by."""
    numbers = sorted(range(count), key=lambda number: number * 7 % (count or 1))
    begin = datetime(2026, 5, 1, tzinfo=UTC)
    rows = []
    for number in numbers:
        key: Row = {"id": f"N{number:03}"}
        if table == "Items":
            key = {"order_no": f"A{number // 3:03}", "position": number % 3 + 1}
        elif table == "Papers":
            key = {"id": str(UUID(int=number * 2**96 + number))}
        moment = (begin + timedelta(seconds=number // 2)).isoformat().replace("+00:00", "Z")
        rows.append({**key, "qty": number, CHANGED: moment})
    return rows


class RefusingService:
    """`refusals` may change at any time; `own_pages`: whether it links from page to page by itself."""

    def __init__(self, *refusals: str, rows: int = 23, own_pages: bool = True) -> None:
        assert set(refusals) <= REFUSALS.keys(), refusals
        self.refusals = set(refusals)
        self.rows = {name: rows_of(name, rows) for name in SETS}
        self.own_pages = own_pages
        self.between: HttpProxy = alone(self.answer)
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.between.address}/erp/"

    def answer(self, request: ForwardedRequest) -> CannedResponse:
        """As `tests.http_proxy.Rule`."""
        split = urlsplit(request.path)
        path = unquote(split.path).partition("/erp/")[2]
        options = dict(parse_qsl(split.query, keep_blank_values=True))
        if path in {"", "$metadata"}:
            return say(200, self.metadata() if path else b"{}", "application/xml")
        table, _, part = path.partition("/")
        name, _, key = table.partition("(")
        if name not in SETS:
            return error(501 if name == "$batch" else 404, "no such set")
        if key:
            return self._single(name, key.rstrip(")"))
        fault = self._fault(options, part)
        if fault:
            self.refused.append(fault)
            return error(400, f"The query specified in the URI is not valid: {fault}")
        return self._listed(name, options, part, request.headers)

    def _fault(self, options: Mapping[str, str], part: str) -> str:
        words, text = self.refusals, options.get("$filter", "")
        compared = _COMPARED.findall(text)
        names = {name for name, _, _ in compared}
        comparisons = [(name, op) for name, op, _ in compared if op in {"gt", "ge", "lt", "le"}]
        order = options.get("$orderby", "")
        if ("count" in words and (part or "$count" in options)) or (
            "inline count" in words and "$count" in options
        ):
            return "$count"
        if "top" in words and int(options.get("$top", "0")) > MAX_TOP:
            return f"The limit of '{MAX_TOP}' for Top query has been exceeded"
        if "no rows" in words and options.get("$top") == "0":
            return "$top=0"
        if "guids" in words and any(name == "id" for name, _ in comparisons):
            return "a binary operator with incompatible types was detected"
        if "or" in words and " or " in text and len(names) > 1:
            return "the OR operator is not supported on distinct fields"
        if "gt" in words and any(name != CHANGED for name, _ in comparisons):
            return "gt"
        if "time" in words and CHANGED in names:
            return f"the property {CHANGED} cannot be used in the $filter query option"
        if "null" in words and any(value == "null" for _, _, value in compared):
            return "null is not supported"
        if "in" in words and any(op == "in" for _, op, _ in compared):
            return "in"
        if "skip" in words and "$skip" in options:
            return "$skip"
        if ("order" in words and order) or ("descending" in words and " desc" in order):
            return "$orderby"
        if "order by time" in words and CHANGED in order:
            return f"the property {CHANGED} cannot be used in the $orderby query option"
        return ""

    def _single(self, name: str, inside: str) -> CannedResponse:
        parts = [part.rpartition("=")[2].strip("'") for part in inside.split(",")]
        for row in self.rows[name]:
            if [str(row[key]) for key in KEYS[name]] == parts:
                return say(200, row)
        return error(404, "not found")

    def _listed(
        self, name: str, options: Mapping[str, str], part: str, headers: Mapping[str, str]
    ) -> CannedResponse:
        test = _test(options.get("$filter", ""))
        rows = [row for row in self.rows[name] if test(row)]
        if part:
            return say(200, str(len(rows)).encode(), "text/plain")
        for order in reversed(list(filter(None, options.get("$orderby", "").split(",")))):
            column, _, direction = order.partition(" ")
            rows.sort(key=lambda row, of=column: _placed(row[of]), reverse=bool(direction))  # type: ignore[misc]
        count = len(rows)
        begin = int(options.get("$skiptoken", "0"))
        rows = rows[begin + int(options.get("$skip", "0")) :]
        rows = rows[: int(options.get("$top", len(rows)))]
        wanted = re.search(r"maxpagesize=(\d+)", headers.get("prefer", ""))
        size = min(PAGE, int(wanted[1])) if wanted else PAGE
        size = size if self.own_pages else max(1, len(rows))
        body: Row = {"value": rows[:size]}
        if len(rows) > size:
            kept = {key: text for key, text in options.items() if key != "$skiptoken"}
            if "$top" in kept:
                kept["$top"] = str(int(kept["$top"]) - size)
            query = "&".join(f"{key}={text}" for key, text in kept.items())
            link = f"{self.url}{name}?{query}&$skiptoken={begin + size}"
            body["@odata.nextLink"] = link.replace(" ", "%20")
        if "$count" in options:
            body["@odata.count"] = count
        return say(200, body)

    def metadata(self) -> bytes:
        """As V4 has it; no word of what is refused."""
        types = ""
        for name, columns in SETS.items():
            refs = "".join(f'<PropertyRef Name="{key}"/>' for key in KEYS[name])
            properties = "".join(
                f'<Property Name="{column}" Type="{edm}"/>'
                for column, edm in {**columns, CHANGED: "Edm.DateTimeOffset"}.items()
            )
            types += f'<EntityType Name="{name}Type"><Key>{refs}</Key>{properties}</EntityType>'
        sets = "".join(f'<EntitySet Name="{name}" EntityType="erp.{name}Type"/>' for name in SETS)
        return (
            '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">'
            '<edmx:DataServices><Schema Namespace="erp" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
            f'{types}<EntityContainer Name="C">{sets}</EntityContainer>'
            "</Schema></edmx:DataServices></edmx:Edmx>"
        ).encode()


def _placed(value: Any) -> tuple[bool, Any]:
    return value is not None, comparable(value)


def _test(text: str) -> Callable[[Row], bool]:
    """`$filter`, by turning it into Python: it is the connector's own."""
    if not text:
        return lambda _: True

    def compared(match: re.Match[str]) -> str:
        name, operator, value = match.groups()
        literal = _literal(value)
        if operator == "in":
            values = [_literal(text.strip()) for text in value.strip("()").split(",")]
            return f"(row[{name!r}] in {values!r})"
        python = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}[operator]
        null_check = f"row[{name!r}] is not None and " if operator[0] in "gl" else ""
        return f"({null_check}comparable(row[{name!r}]) {python} {comparable(literal)!r})"

    code = compile(_COMPARED.sub(compared, text), "filter", "eval")
    return lambda row: bool(eval(code, {"row": row, "comparable": comparable}))  # noqa: S307 - of the connector alone


def comparable(value: Any) -> Any:
    """Times as texts of the same length; other values as they are."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\dT", value):
        return value
    whole, _, fraction = value.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<7}"


def _literal(text: str) -> Any:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return {"null": None, "true": True, "false": False}.get(text, text)


def say(status: int, body: Any, content_type: str = "application/json") -> CannedResponse:
    """An answer of the service."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return CannedResponse(status, content, {"Content-Type": content_type, "Date": date})


def error(status: int, words: str) -> CannedResponse:
    """A refusal in the form that V4 has for it."""
    return say(status, {"error": {"code": str(status), "message": words}})
