"""A service that refuses nothing and ignores what it is told to: each lie is one word of data.

It holds `Suites` (with a time of change) and `Plains` (without), V4 or V2, in the order in which rows
were written. Without a lie it is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone

LIES: Mapping[str, str] = {
    "in": "`in` is ignored: all rows come (Business Central)",
    "filter": "`$filter` is ignored (SAP Gateway, where the developer left it out)",
    "filter finds nothing": "any `$filter` gives an empty list",
    "order": "`$orderby` is ignored",
    "order of pages": "rows are taken in their own order, and each page is sorted by itself",
    "pages cut": "a page has three rows at most, and no link to the next one",
    "links": "the link to the next page is there, and what it names is ignored",
    "count": "`$count` says how many rows the page has",
    "count ignored": "`$count` is ignored",
    "not null": "`ne null` finds nothing",
    "greater": "`gt` is taken for `ge`",
    "top": "`$top` is ignored",
    "key": "a read by key gives the first row there is",
}
FEW = 3
"""Rows of a page that is cut."""
Row = dict[str, Any]
Test = Callable[[Row], bool]
KEY = "order_no"
TYPES = {KEY: "Edm.String", "customer": "Edm.String", "qty": "Edm.Int32", "price": "Edm.Decimal"}
CHANGED = "modifiedAt"
SETS = {"Suites": {**TYPES, CHANGED: "Edm.DateTimeOffset"}, "Plains": TYPES}


class LyingService:
    """`lies` may change at any time; `asked` holds the requests; `rows` is what the ERP's users see."""

    def __init__(self, *lies: str, version: str = "v4", page: int = 100) -> None:
        assert set(lies) <= LIES.keys(), lies
        self.lies = set(lies)
        self.sets: dict[str, list[Row]] = {name: [] for name in SETS}
        self.between: HttpProxy = alone(self.answer)
        #: How `$orderby` sorts texts; filters compare them as they are.
        self.collate: Callable[[Any], Any] = lambda text: text
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._version = version
        self._page = page

    @property
    def url(self) -> str:
        return f"{self.between.address}/erp/"

    @property
    def paths(self) -> list[str]:
        """What was asked of the sets, decoded."""
        paths = [unquote(request.path) for request in self.between.requests]
        return [path.removeprefix("/erp/") for path in paths if "$metadata" not in path]

    def write(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Rows as they are; those that are there are changed. Each gets the time of now."""
        for row in rows:
            moment = self.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            stamp = {CHANGED: moment} if CHANGED in SETS[table] else {}
            old = self._row(table, row[KEY])
            if old is None:
                self.sets[table].append({**dict.fromkeys(SETS[table]), **stamp, **row})
            else:
                old.update({**stamp, **row})

    def delete(self, table: str, key: str) -> None:
        self.sets[table] = [row for row in self.sets[table] if row[KEY] != key]

    def _row(self, table: str, key: str) -> Row | None:
        return next((row for row in self.sets[table] if row[KEY] == key), None)

    # -- HTTP ------------------------------------------------------------------------------

    def answer(self, request: ForwardedRequest) -> CannedResponse:
        """As `tests.http_proxy.Rule`."""
        split = urlsplit(request.path)
        path = unquote(split.path).partition("/erp/")[2]
        options = dict(parse_qsl(split.query, keep_blank_values=True))
        if path in {"", "$metadata"}:
            return _say(200, self.metadata() if path else b"{}", "application/xml")
        table, _, inside = path.partition("(")
        if table not in SETS:
            return _error(501 if table == "$batch" else 404, "no such set")
        if not inside and request.method == "POST":
            self.write(table, _exact(request.body))
            return _say(201, self._row_json(self.sets[table][-1]))
        if not inside:
            return self._listed(table, options, request.headers)
        return self._single(table, inside.rstrip(")").strip("'").replace("''", "'"), request)

    def _single(self, table: str, key: str, request: ForwardedRequest) -> CannedResponse:
        row = self._row(table, key)
        if "key" in self.lies and request.method == "GET":
            row = next(iter(self.sets[table]), None)
        if row is None:
            return _error(404, "not found")
        if request.method == "DELETE":
            self.delete(table, key)
            return CannedResponse(204)
        if request.method in {"PATCH", "MERGE"}:
            self.write(table, {KEY: key, **_exact(request.body)})
        return _say(200, self._row_json(row))

    def _listed(
        self, table: str, options: Mapping[str, str], headers: Mapping[str, str]
    ) -> CannedResponse:
        matches = self._test(options.get("$filter", ""))
        rows = [row for row in self.sets[table] if matches(row)]
        order = options.get("$orderby", "")
        if order and not self.lies & {"order", "order of pages"}:
            rows = self._sorted(rows, order)
        count = len(rows)
        start = 0 if "links" in self.lies else int(options.get("$skiptoken", "0"))
        rows = rows[start + int(options.get("$skip", "0")) :]
        if "$top" in options and "top" not in self.lies:
            rows = rows[: int(options["$top"])]
        wanted = re.search(r"maxpagesize=(\d+)", headers.get("prefer", ""))
        size = min(self._page, int(wanted[1]) if wanted else self._page)
        size = FEW if self.lies & {"pages cut", "links"} else size
        page, following = rows[:size], start + size if len(rows) > size else 0
        if order and "order of pages" in self.lies:
            page = self._sorted(page, order)
        link = ""
        if following and "pages cut" not in self.lies:
            kept = {name: text for name, text in options.items() if name != "$skiptoken"}
            query = "&".join(f"{name}={text}" for name, text in kept.items())
            link = f"{self.url}{table}?{query}&$skiptoken={following}".replace(" ", "%20")
        counted: int | None = len(page) if "count" in self.lies else count
        if "count ignored" in self.lies or not {"$count", "$inlinecount"} & options.keys():
            counted = None
        return self._page_of(page, link, counted)

    def _page_of(self, rows: Sequence[Row], link: str, count: int | None) -> CannedResponse:
        if self._version == "v2":
            inside: Row = {"results": [self._json(row) for row in rows]}
            inside |= {"__next": link} if link else {}
            inside |= {"__count": str(count)} if count is not None else {}
            return _say(200, {"d": inside})
        body: Row = {"value": [self._json(row) for row in rows]}
        body |= {"@odata.nextLink": link} if link else {}
        body |= {"@odata.count": count} if count is not None else {}
        return _say(200, body)

    def _row_json(self, row: Row) -> Row:
        return {"d": self._json(row)} if self._version == "v2" else self._json(row)

    def _json(self, row: Row) -> Row:
        return {
            name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()
        }

    def _sorted(self, rows: Sequence[Row], order: str) -> list[Row]:
        ordered = list(rows)
        for part in reversed(order.split(",")):
            name, _, direction = part.strip().partition(" ")
            ordered.sort(key=partial(self._sort_key, name), reverse=direction == "desc")
        return ordered

    def _sort_key(self, name: str, row: Row) -> Any:
        value = row[name]
        return (value is not None, self.collate(value) if name == KEY else value)

    def _test(self, text: str) -> Test:
        if not text or "filter" in self.lies:
            return lambda _: True
        if "filter finds nothing" in self.lies:
            return lambda _: False
        return _Filter(text, self.lies).test()

    def metadata(self) -> bytes:
        """The same sets in the words of each version."""
        sets = "".join(f'<EntitySet Name="{name}" EntityType="erp.{name}Type"/>' for name in SETS)
        types = "".join(_type_xml(name, columns) for name, columns in SETS.items())
        if self._version == "v2":
            space, version = "http://schemas.microsoft.com/ado/2008/09/edm", "1.0"
            edmx = "http://schemas.microsoft.com/ado/2007/06/edmx"
        else:
            space, version = "http://docs.oasis-open.org/odata/ns/edm", "4.0"
            edmx = "http://docs.oasis-open.org/odata/ns/edmx"
        return (
            f'<edmx:Edmx Version="{version}" xmlns:edmx="{edmx}"><edmx:DataServices>'
            f'<Schema Namespace="erp" xmlns="{space}">{types}'
            f'<EntityContainer Name="C">{sets}</EntityContainer>'
            "</Schema></edmx:DataServices></edmx:Edmx>"
        ).encode()


def _type_xml(name: str, columns: Mapping[str, str]) -> str:
    facets = {"Edm.Decimal": ' Precision="15" Scale="2"', "Edm.String": ' MaxLength="40"'}
    properties = "".join(
        f'<Property Name="{column}" Type="{edm}"{facets.get(edm, "")}'
        f"{' Nullable=' + chr(34) + 'false' + chr(34) if column == KEY else ''}/>"
        for column, edm in columns.items()
    )
    key = f'<Key><PropertyRef Name="{KEY}"/></Key>'
    return f'<EntityType Name="{name}Type">{key}{properties}</EntityType>'


def _exact(body: bytes) -> Row:
    row: Row = json.loads(body, parse_float=Decimal)
    price = row.get("price")
    return row if price is None else {**row, "price": Decimal(str(price))}


def _say(status: int, body: Any, kind: str = "application/json") -> CannedResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return CannedResponse(status, content, {"Content-Type": kind, "Date": date})


def _error(status: int, words: str) -> CannedResponse:
    return _say(status, {"error": {"code": str(status), "message": words}})


TOKEN = re.compile(
    r"\s*(?:(?P<text>(?:datetimeoffset|datetime)?'(?:[^']|'')*')|(?P<sign>[(),])"
    r"|(?P<moment>\d{4}-\d\d-\d\dT[\d:.]+Z)|(?P<number>-?\d+(?:\.\d+)?)[LMdf]?|(?P<word>[\w/]+))"
)


class _Filter:
    """`$filter` as far as the connector uses it."""

    def __init__(self, text: str, lies: set[str]) -> None:
        self._tokens = [
            (match.lastgroup, match[match.lastgroup or 0]) for match in TOKEN.finditer(text)
        ]
        self._lies = lies

    def test(self) -> Test:
        test = self._any()
        assert not self._tokens, self._tokens
        return test

    def _take(self, *words: str) -> bool:
        if self._tokens and self._tokens[0][1] in words:
            self._tokens.pop(0)
            return True
        return False

    def _any(self) -> Test:
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        return lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._comparison()]
        while self._take("and"):
            tests.append(self._comparison())
        return lambda row: all(test(row) for test in tests)

    def _comparison(self) -> Test:
        if self._take("("):
            test = self._any()
            assert self._take(")")
            return test
        if self._take("false"):
            return lambda _: False
        name, operator = self._tokens.pop(0)[1], self._tokens.pop(0)[1]
        if operator == "in":
            assert self._take("(")
            values = [self._value()]
            while self._take(","):
                values.append(self._value())
            assert self._take(")")
            return (lambda _: True) if "in" in self._lies else (lambda row: row[name] in values)
        return self._compared(name, operator, self._value())

    def _compared(self, name: str, operator: str, value: Any) -> Test:
        if operator == "eq":
            return lambda row: row[name] == value
        if operator == "ne":
            lies = value is None and "not null" in self._lies
            return (lambda _: False) if lies else (lambda row: row[name] != value)
        if operator == "gt" and "greater" in self._lies:
            operator = "ge"
        holds: dict[str, Callable[[Any], bool]] = {
            "gt": lambda operand: operand > value,
            "ge": lambda operand: operand >= value,
            "lt": lambda operand: operand < value,
            "le": lambda operand: operand <= value,
        }
        return lambda row: row[name] is not None and holds[operator](row[name])

    def _value(self) -> Any:
        kind, text = self._tokens.pop(0)
        if kind == "text":
            inner = text.partition("'")[2][:-1].replace("''", "'")
            return _moment(inner) if text.startswith("date") else inner
        if kind == "moment":
            return _moment(text)
        if kind == "number":
            return Decimal(text) if "." in text else int(text)
        return {"null": None, "true": True, "false": False}[text]


def _moment(text: str) -> str:
    """Moments are compared as rows hold them: in milliseconds, as text."""
    moment = datetime.fromisoformat(text)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
