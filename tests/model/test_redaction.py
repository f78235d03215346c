"""No text keeps a secret, whatever encodes it and wherever it is cut."""

from __future__ import annotations

import base64
import gc
import html
import json
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.model.redaction import (
    GENERATIONS,
    MAX_RETIRED_SECRETS,
    Redactor,
    SecretGenerations,
)
from bridge.model.secret_urls import secrets_in_url
from bridge.model.unescaping import UnescapedText, unescaped
from tests.example_counts import examples

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quote": lambda s: quote(s, safe=""),
    "quote, slashes kept": quote,
    "quote, lower case": lambda s: "".join(
        f"%{byte:02x}" if chr(byte) in "%/&<>\"'+ :;=?@\\" or byte > 126 else chr(byte)
        for byte in s.encode()
    ),
    "every byte in percent": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "quote_plus": quote_plus,
    "form": lambda s: urlencode({"p": s}),
    "html": html.escape,
    "html, quotes kept": lambda s: html.escape(s, quote=False),
    "html, decimal": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html, hexadecimal": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "html, zeros before": lambda s: "".join(
        f"&#x{ord(c):04x};" if not c.isalnum() else c for c in s
    ),
    "html, named": lambda s: html.escape(s).replace("&#x27;", "&apos;").replace("/", "&sol;"),
    "html in html": lambda s: html.escape(html.escape(s)),
    "json": json.dumps,
    "json, any alphabet": lambda s: json.dumps(s, ensure_ascii=False),
    "json, slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "json, html-safe": lambda s: (
        json.dumps(s).replace("<", "\\u003c").replace(">", "\\u003E").replace("&", "\\u0026")
    ),
    "json, every sign": lambda s: "".join(
        f"\\u{int.from_bytes(pair):04x}"
        for c in s
        for pair in _pairs(c.encode("utf-16-be", "surrogatepass"))
    ),
    "json in json": lambda s: json.dumps({"error": json.dumps({"echo": s})}),
    "json in html": lambda s: html.escape(json.dumps({"echo": s})),
    "url in json": lambda s: json.dumps({"url": f"http://h/?k={quote(s, safe='')}"}),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda s: repr(s.encode()),
    "bytes in octal": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "hexadecimal": lambda s: s.encode().hex(),
    "hexadecimal, upper case": lambda s: s.encode().hex().upper(),
    "bytea": lambda s: f"\\x{s.encode().hex()}",
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 behind one": lambda s: base64.b64encode(b"u" + s.encode() + b"zz").decode(),
    "base64 behind two": lambda s: base64.b64encode(b"u:" + s.encode() + b"z").decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(b"us:" + s.encode()).decode(),
    "base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
    "base64 in lines": lambda s: base64.encodebytes(b"u:" * 31 + s.encode() + b"zz").decode(),
    "quoted-printable": lambda s: "".join(
        c if 32 <= ord(c) < 127 and c != "=" else "".join(f"={b:02X}" for b in c.encode())
        for c in s
    ),
    "soft line breaks": lambda s: f"{s[:5]}=\r\n{s[5:]}",
    "utf-16": lambda s: (
        s.encode("utf-16-be", "surrogatepass").decode("latin-1") if s.isascii() else s
    ),
    "html without semicolons": lambda s: "&#45;".join(
        ["", *(f"&#{ord(c)}" for c in s), ""]
    ).replace("&#45;", ""),
    "javascript's escape": lambda s: "".join(
        f"%u{int.from_bytes(pair):04x}"
        for c in s
        for pair in _pairs(c.encode("utf-16-be", "surrogatepass"))
    ),
    "braces": lambda s: "".join(f"\\u{{{ord(c):x}}}" for c in s),
    "hexadecimal, mixed case": lambda s: "".join(
        f"{byte:02x}" if at % 2 else f"{byte:02X}" for at, byte in enumerate(s.encode())
    ),
    "sql": lambda s: s.replace("'", "''"),
    "csv": lambda s: s.replace('"', '""'),
    "read as latin-1": lambda s: s.encode().decode("latin-1"),
    "basic": lambda s: f"Basic {base64.b64encode(b'bridge:' + s.encode()).decode()}",
}

TRICKY = st.text("ab%&\\\"'</>+ ;:=?@#x41u0n$&äß€😀\t", min_size=8, max_size=24)
PLAIN = st.text("abcdefXYZ0123456789-_.~", min_size=8, max_size=40)
SECRETS = st.one_of(TRICKY, PLAIN, st.text(st.characters(codec="utf-8"), min_size=8, max_size=16))
AROUND = st.sampled_from(["", "¶", "¶ ", " ¶", "¶[", "¶|"])


def _pairs(content: bytes) -> list[bytes]:
    return [content[at : at + 2] for at in range(0, len(content), 2)]


@settings(max_examples=examples(250), deadline=None, derandomize=True)
@given(SECRETS, st.sampled_from(sorted(ENCODINGS)), AROUND, AROUND)
@example("a%41b\"c'd/e\\f", "json", "", "")
@example("\\u0041\\x41%41&amp;", "json in json", "", "")
@example("p ss+w rd+&x=1", "form", "?", "&")
def test_a_secret_is_hidden_in_every_encoding(
    secret: str, encoding: str, before: str, after: str
) -> None:
    redactor = Redactor()
    redactor.register(secret)
    encoded = ENCODINGS[encoding](secret)
    text = redactor.redact(f"{before}{encoded}{after}")
    core = encoded.strip("\"'=u:{}")
    assert "***" in text
    assert secret not in text
    if before.startswith("¶") and "¶" not in secret:
        assert text.startswith("¶")
    assert core not in text
    # Eight characters in a row would already be worth reading.
    pieces = {core[at : at + 8] for at in range(len(core) - 7)}
    kept = {piece for piece in pieces if piece in text and piece not in before + after}
    assert not kept or encoding in {
        "base64 behind one", "base64 behind two", "base64 for URLs", "basic", "form",
        "json in json", "json in html", "url in json", "base64 in lines",
    }  # fmt: skip


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(SECRETS, st.sampled_from(sorted(ENCODINGS)), st.integers(0, 60), st.integers(0, 3))
def test_no_cut_leaves_the_first_part_of_a_secret(
    secret: str, encoding: str, limit: int, repeated: int
) -> None:
    redactor = Redactor()
    redactor.register(secret)
    encoded = ENCODINGS[encoding](secret)
    text = " ".join(["the service says", *[encoded] * (repeated + 1), "gone"])
    whole = redactor.redact(text)
    cut = redactor.redact_cut(text, limit)
    assert len(cut) <= limit
    assert cut == whole[: len(cut)]
    assert len(cut) == limit or len(cut) == len(whole) or len(text) > limit


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=20, max_size=40), st.integers(8, 19))
def test_a_secret_that_the_server_cut_is_hidden_at_the_end_of_its_text(
    secret: str, kept: int
) -> None:
    redactor = Redactor()
    redactor.register(secret)
    for ending in ("", "...", "… (12 more)"):
        assert redactor.redact(f"login {secret[:kept]}{ending}") == f"login ***{ending}"


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=20, max_size=40), st.integers(8, 19))
def test_the_rest_of_a_secret_is_hidden_where_the_server_cut_its_first_part(
    secret: str, kept: int
) -> None:
    """PostgreSQL shows a long statement by `LINE 1: ...`."""
    redactor = Redactor()
    redactor.register(secret)
    for ending in ("", "' and so on", "..."):
        text = redactor.redact(f"LINE 1: ...{secret[-kept:]}{ending}")
        assert text == f"LINE 1: ...***{ending}"


def test_a_secret_anywhere_in_a_long_text_is_hidden_and_never_all_of_it_unescaped_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To know where each character was written takes 170 bytes for each: 1.7 GB of a text of 10 MB."""
    lengths: list[int] = []

    def measured(text: str) -> Iterator[UnescapedText]:
        lengths.append(len(text))
        return unescaped(text)

    monkeypatch.setattr("bridge.model.secret_search.unescaped", measured)
    redactor = Redactor()
    redactor.register("correct-horse-battery")
    for secret in ("correct-horse-battery", "%63orrect-hors%65-battery"):
        for at in (0, 65_530, 131_060, 131_072, 199_900):
            text = f"{'x' * at}{secret}{'y' * (200_000 - at)}"
            assert redactor.redact(text) == f"{'x' * at}***{'y' * (200_000 - at)}"
    assert max(lengths) < 70_000
    # Where a piece ends nothing was cut: what only begins like a secret stays.
    text = "correct-hero " * 20_000
    assert redactor.redact(text) == text


def test_ten_thousand_tokens_that_begin_alike_make_no_text_slow() -> None:
    """A step for each of them took 13 s."""
    redactor = Redactor()
    beginning = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
    for number in range(10_000):
        redactor.register(f"{beginning}{number:020}")
    text = f"{beginning}abc " * 1_600
    assert redactor.redact(f"{beginning}{77:020}") == "***"
    started = time.process_time()
    assert redactor.redact(text) == text
    assert time.process_time() - started < 5


def test_overlapping_secrets_leave_no_part_of_each_other() -> None:
    redactor = Redactor()
    redactor.register("abcdefgh")
    redactor.register("efghijkl")
    redactor.register("efgh")
    assert redactor.redact("<abcdefghijkl efgh>") == "<*** ***>"


def test_secrets_of_up_to_three_characters_are_no_words_to_hide() -> None:
    redactor = Redactor()
    redactor.register("pw")
    redactor.register("abc")
    redactor.register("")
    assert redactor.redact("the alphabet: abc, pw") == "the alphabet: abc, pw"


def test_texts_without_secrets_stay_as_they_are() -> None:
    redactor = Redactor()
    redactor.register("correct horse battery")
    text = "100 % of &amp; \\n \\u00e4 %zz &nosuch; ... \\"
    assert redactor.redact(text) == text
    assert redactor.redact_cut(text, 7) == text[:7]


def test_a_rotated_secret_stays_hidden_for_some_generations() -> None:
    redactor = Redactor()
    values = [f"rotated-secret-{number}" for number in range(GENERATIONS + 2)]
    for value in values:
        redactor.register(value, "env:PASSWORD")
    redacted = [redactor.redact(f"[{value}]") == "[***]" for value in values]
    assert redacted == [False, False, *[True] * GENERATIONS]


def test_tokens_of_clients_that_are_gone_stay_hidden_up_to_a_number() -> None:
    redactor = Redactor()
    names = [f"token-number-{number:05}" for number in range(MAX_RETIRED_SECRETS + 10)]
    for name in names:
        client = SecretGenerations(redactor)
        client.add(name)
        del client
    gc.collect()
    living = SecretGenerations(redactor)
    living.add("token-of-the-living")
    assert redactor.redact(names[-1]) == "***"
    assert redactor.redact("token-of-the-living") == "***"
    redactor.register("one more, which drops the oldest")
    assert redactor.redact(names[0]) == names[0]
    assert redactor.redact(names[-1]) == "***"


def test_secrets_register_while_others_redact() -> None:
    redactor = Redactor()
    redactor.register("the-first-secret")
    wrong: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            text = redactor.redact("see the-first-secret")
            if text != "see ***":
                wrong.append(text)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    generations = SecretGenerations(redactor)
    for number in range(60):
        token = f"token-of-{number:04}"
        generations.add(token)
        assert redactor.redact(token) == "***"
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_a_long_text_is_redacted_in_no_time_that_anybody_waits_for() -> None:
    """A service may repeat a secret without end, or send escapes only."""
    redactor = Redactor()
    for number in range(20):
        redactor.register(f"secret-{number}-{'aA' * 20}")
    for unit in ("aA" * 20, "%61%41", "&#97;", "secret-1-" + "aA" * 20, "c2Vjcm", "..."):
        text = unit * (65_536 // len(unit))
        started = time.process_time()
        redactor.redact(text)
        assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgresql://bridge:p%40ss@h/db", {"p%40ss", "p@ss", "bridge:p@ss"}),
        ("postgresql://u:a/b?c@h/db", {"a/b?c", "u:a/b?c"}),
        ("https://h:8080/odata/", set()),
        ("https://h:8080/odata/?x=a@b", set()),
        ("https://h/odata/?sap-client=100&apikey=k%2Fey", {"k%2Fey", "k/ey"}),
        ("host=h dbname=d password='it''s'", {"it"}),
        ("host=h password=p+q user=u", {"p+q", "p q"}),
        ("DRIVER={x};UID=sa;PWD={a;b}}c};", {"a;b}c"}),
        ("kafka://k1:9092,k2:9092", set()),
        ("postgresql://h/db?sslkey=/etc/ssl/bridge.key&passfile=/etc/pgpass", set()),
        ("mssql+pyodbc://h/db?Authentication=ActiveDirectoryIntegrated", set()),
    ],
)
def test_the_secrets_of_an_address(url: str, secrets: set[str]) -> None:
    assert set(secrets_in_url(url)) == secrets
