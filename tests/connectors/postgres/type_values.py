"""Values of every type that PostgreSQL's catalogue has, for the tests that compare their forms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBERS = st.floats() | st.sampled_from(
    [0.1, -0.0, 1e15, 1e16, 1e-4, 1e-5, 123456789012345680.0, 5e-324, 1.7976931348623157e308]
)
SINGLES = st.floats(width=32) | st.sampled_from(
    [1e6, 1e7, 1e-45, 3.4028234663852886e38, *(2.0**power for power in range(-140, 127, 23))]
)
BITS = st.text("01", min_size=1, max_size=20)
HEX = st.binary(max_size=8).map(lambda content: "\\x" + content.hex())
PLACES = st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"({pair[0]!r},{pair[1]!r})")
NEAR = st.floats(-1e6, 1e6)
NEAR_PLACES = st.tuples(NEAR, NEAR).map(lambda pair: f"({pair[0]!r},{pair[1]!r})")
MACS = st.binary(min_size=6, max_size=6).map(lambda content: content.hex(":"))
MACS_8 = st.binary(min_size=8, max_size=8).map(lambda content: content.hex(":"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False))
DAYS = st.dates().map(str) | st.sampled_from(
    ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "5874897-12-31", "4714-11-24 BC",
     "9999-12-31", "0001-01-01", "0001-12-31 BC", "2000-02-29"]
)  # fmt: skip
CLOCKS = st.times().map(str) | st.sampled_from(["24:00", "00:00", "23:59:59.999999", "12:00:00.5"])
OFFSETS = st.integers(-15 * 3600 - 3599, 15 * 3600 + 3599).map(
    lambda east: (
        f"{'-' if east < 0 else '+'}{abs(east) // 3600:02}:{abs(east) // 60 % 60:02}:{abs(east) % 60:02}"
    )
)
MOMENTS = st.datetimes().map(str) | st.sampled_from(
    ["infinity", "-infinity", "0044-03-15 10:00 BC", "20000-01-01 00:00:00.5", "294276-12-31",
     "4714-11-24 00:00 BC", "9999-12-31 23:59:59.999999", "0001-01-01", "1969-07-20 20:17:40.1"]
)  # fmt: skip
SPANS = st.tuples(
    st.integers(-50_000, 50_000), st.integers(-40_000, 40_000), st.integers(-(10**15), 10**15)
).map(lambda parts: f"{parts[0]} mons {parts[1]} days {parts[2]} microseconds")
WORDS_6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0x1234]), min_size=8, max_size=8).map(
    lambda words: ":".join(f"{word:x}" for word in words)
)
ADDRESSES = (
    st.ip_addresses().map(str)
    | WORDS_6
    | st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}")
    | st.ip_addresses(v=4).map(lambda address: f"::{address}")
    | st.sampled_from(["::", "::1", "::ffff:0:0", "1::", "0:0:1::", "::1:0:0:0:0:0:1"])
)
INETS = ADDRESSES | st.tuples(ADDRESSES, st.integers(0, 32)).map(
    lambda pair: f"{pair[0]}/{pair[1]}"
)
LEXEMES = st.lists(
    st.tuples(
        st.text("ab '\\\"é:", min_size=1, max_size=4),
        st.lists(st.tuples(st.integers(1, 16_383), st.sampled_from("ABCD")), max_size=3),
    ),
    max_size=3,
).map(
    lambda lexemes: " ".join(
        "'" + word.replace("'", "''").replace("\\", "\\\\") + "'"
        + (":" + ",".join(f"{position}{weight}" for position, weight in positions) if positions else "")
        for word, positions in lexemes
    )
)  # fmt: skip
XIDS = st.integers(3, 2**32 - 1).map(str)


@dataclass(frozen=True, slots=True)
class TypeValues:
    """A type: how SQL names it, its values, and the expression that makes one of a parameter."""

    sql: str
    values: st.SearchStrategy[Any]
    make: str = ""
    ordered: bool = True


def _integers(bits: int) -> st.SearchStrategy[str]:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return (st.integers(least, most) | st.sampled_from([least, most, 0])).map(str)


#: Types that the plan decodes from their binary form.
BINARY: dict[str, TypeValues] = {
    "bool": TypeValues("bool", st.sampled_from(["t", "f"])),
    "int2": TypeValues("int2", _integers(16)),
    "int4": TypeValues("int4", _integers(32)),
    "int8": TypeValues("int8", _integers(64)),
    "oid": TypeValues("oid", st.integers(0, 2**32 - 1).map(str)),
    "float4": TypeValues("float4", SINGLES.map(repr)),
    "float8": TypeValues("float8", NUMBERS.map(repr)),
    "numeric": TypeValues(
        "numeric",
        (
            st.decimals(-(10**30), 10**30).map(str)
            | st.decimals(-(10**9), 10**9, places=7).map(str)
            | st.sampled_from(["NaN", "Infinity", "-Infinity", "1e-50", "1e300", "0.0"])
        ),
    ),
    "numeric(9,3)": TypeValues(
        "numeric(9,3)", st.decimals(-(10**6) + 1, 10**6 - 1, places=3).map(str)
    ),
    "money": TypeValues(
        "money", st.decimals("-92233720368547758.08", "92233720368547758.07", places=2).map(str)
    ),
    "text": TypeValues("text", TEXT),
    "varchar": TypeValues("varchar(12)", TEXT),
    "bpchar": TypeValues("char(12)", TEXT),
    "name": TypeValues("name", TEXT),
    "char": TypeValues('"char"', st.integers(-128, 127), make='%s::int4::"char"'),
    "xml": TypeValues("xml", st.sampled_from(["<a>1</a>", "<b/>", "x é"]), ordered=False),
    "bytea": TypeValues("bytea", HEX),
    "date": TypeValues("date", DAYS),
    "time": TypeValues("time", CLOCKS),
    "timetz": TypeValues("timetz", st.tuples(CLOCKS, OFFSETS).map("".join)),
    "timestamp": TypeValues("timestamp", MOMENTS),
    "timestamptz": TypeValues("timestamptz", MOMENTS),
    "interval": TypeValues("interval", SPANS),
    "uuid": TypeValues("uuid", st.uuids().map(str)),
    "json": TypeValues("json", JSON, ordered=False),
    "jsonb": TypeValues("jsonb", JSON),
    "inet": TypeValues("inet", INETS),
    "cidr": TypeValues("cidr", INETS, make="network(%s::inet)"),
    "macaddr": TypeValues("macaddr", MACS),
    "macaddr8": TypeValues("macaddr8", MACS_8),
    "bit": TypeValues("bit(5)", st.text("01", min_size=5, max_size=5)),
    "varbit": TypeValues("varbit", BITS),
    "point": TypeValues("point", PLACES, ordered=False),
    "lseg": TypeValues("lseg", st.tuples(PLACES, PLACES).map(",".join), ordered=False),
    "box": TypeValues("box", st.tuples(PLACES, PLACES).map(",".join), ordered=False),
    "path": TypeValues(
        "path",
        st.tuples(st.sampled_from(["()", "[]"]), st.lists(PLACES, min_size=1, max_size=3)).map(
            lambda pair: pair[0][0] + ",".join(pair[1]) + pair[0][1]
        ),
        ordered=False,
    ),
    "polygon": TypeValues(
        "polygon",
        st.lists(NEAR_PLACES, min_size=1, max_size=3).map(lambda all_: f"({','.join(all_)})"),
        ordered=False,
    ),
    "line": TypeValues(
        "line",
        st.tuples(st.floats(1, 9), NEAR, NEAR).map(
            lambda three: f"{{{','.join(map(repr, three))}}}"
        ),
        ordered=False,
    ),
    "circle": TypeValues(
        "circle",
        st.tuples(NEAR_PLACES, st.floats(0, 1e9)).map(lambda pair: f"<{pair[0]},{pair[1]!r}>"),
        ordered=False,
    ),
    "tsvector": TypeValues("tsvector", LEXEMES),
    "pg_lsn": TypeValues(
        "pg_lsn", st.tuples(XIDS, XIDS).map(lambda two: f"{int(two[0]):X}/{int(two[1]):X}")
    ),
    "tid": TypeValues(
        "tid", st.tuples(XIDS, st.integers(0, 65_535)).map(lambda two: f"({two[0]},{two[1]})")
    ),
    "enum": TypeValues("mood", st.sampled_from(["ok", "so so", 'a,"b\\', "null", ""])),
    "citext": TypeValues("citext", TEXT),
}
#: Types that are told as the server's text.
PLAIN: dict[str, TypeValues] = {
    "xid": TypeValues("xid", XIDS, ordered=False),
    "cid": TypeValues("cid", XIDS, ordered=False),
    "xid8": TypeValues("xid8", st.integers(0, 2**64 - 1).map(str)),
    "tsquery": TypeValues("tsquery", st.sampled_from(["fat & rat", "'a b' | !c", "a <-> b:*A"])),
    "jsonpath": TypeValues(
        "jsonpath", st.sampled_from(["$", "$.a[*] ? (@ > 1)", '$."a b"']), ordered=False
    ),
    "txid_snapshot": TypeValues(
        "txid_snapshot", st.sampled_from(["10:20:10,14", "1:1:"]), ordered=False
    ),
    "pg_snapshot": TypeValues(
        "pg_snapshot", st.sampled_from(["10:20:10,14", "1:1:"]), ordered=False
    ),
    "refcursor": TypeValues("refcursor", TEXT, ordered=False),
    "int2vector": TypeValues("int2vector", st.sampled_from(["1 2 -3", "", "7"]), ordered=False),
    "oidvector": TypeValues("oidvector", st.sampled_from(["1 2 3", "", "7"])),
    "aclitem": TypeValues(
        "aclitem", st.sampled_from(["=r/postgres", "postgres=arw*/postgres"]), ordered=False
    ),
    "regclass": TypeValues(
        "regclass", st.sampled_from(["pg_class", "-", "4294967295"]), ordered=False
    ),
    "regtype": TypeValues("regtype", st.sampled_from(["integer", '"char"', "mood"]), ordered=False),
    "regproc": TypeValues("regproc", st.sampled_from(["now", "-"]), ordered=False),
    "regprocedure": TypeValues(
        "regprocedure", st.sampled_from(["now()", "abs(integer)"]), ordered=False
    ),
    "regoper": TypeValues("regoper", st.sampled_from(["||/", "0"]), ordered=False),
    "regoperator": TypeValues(
        "regoperator", st.sampled_from(["+(integer,integer)", "0"]), ordered=False
    ),
    "regrole": TypeValues("regrole", st.sampled_from(["postgres", "-"]), ordered=False),
    "regnamespace": TypeValues("regnamespace", st.sampled_from(["public", "-"]), ordered=False),
    "regcollation": TypeValues("regcollation", st.sampled_from(['"C"', "-"]), ordered=False),
    "regconfig": TypeValues("regconfig", st.sampled_from(["simple", "english"]), ordered=False),
    "regdictionary": TypeValues("regdictionary", st.sampled_from(["simple", "-"]), ordered=False),
    "record": TypeValues(
        "pair", st.sampled_from(["(1,a b)", "(,)", '(7,"x,""y")', "(1,2026-01-31)"])
    ),
    "hstore": TypeValues(
        "hstore", st.sampled_from(["a=>1", "", 'a=>NULL, "b c"=>"d\\"e"', 'é=>"a=>b"'])
    ),
    "ltree": TypeValues("ltree", st.sampled_from(["a.b.c", "", "a_1"])),
    "cube": TypeValues("cube", st.sampled_from(["(1,2)", "(0,0),(1e20,0.1)"])),
    "seg": TypeValues("seg", st.sampled_from(["1 .. 2", "1.50", "~3 .. 5"])),
    "ean13": TypeValues("ean13", st.sampled_from(["978-0-393-04002-9", "0220356483481"])),
}
#: Those that nobody's table holds: pseudo-types, and what only system catalogues are made of.
NEVER_STORED = {
    "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary", "gtsvector",
}  # fmt: skip
CREATE_TYPES = (
    "CREATE EXTENSION hstore", "CREATE EXTENSION citext", "CREATE EXTENSION ltree",
    "CREATE EXTENSION cube", "CREATE EXTENSION seg", "CREATE EXTENSION isn",
    "CREATE TYPE mood AS ENUM ('ok', 'so so', 'a,\"b\\', 'null', '')",
    "CREATE TYPE pair AS (a int, b text)",
)  # fmt: skip
