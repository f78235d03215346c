"""The forms in which a secret may appear: as it is, and in every encoding that servers and
libraries write. Mixtures, such as one character as an HTML entity, are handled by `unescaping`.
"""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from bridge.model.unescaping import unescaped

MIN_SECRET_CHARACTERS: Final = 4
"""Shorter secrets would occur in half of all words; `check` warns about them."""
_MIN_ENCODED_CHARACTERS: Final = 4

_PERCENT = re.compile(r"%[0-9A-F]{2}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def plain_forms(secret: str) -> frozenset[str]:
    """`secret` as it is, in URLs, forms, HTML, JSON and Python's notation, and in hexadecimal."""
    content = _content(secret)
    forms = {
        secret,
        " ".join(secret.split()),
        secret.replace(" ", "+"),
        secret.replace("+", " "),
        html.escape(secret),
        html.escape(secret, quote=False),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret).replace("/", "\\/")[1:-1],
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(content)[2:-1],
        secret.encode(errors="replace").decode(),
        secret.encode("unicode_escape", "surrogatepass").decode(),
        content.hex(),
        content.hex().upper(),
        secret.replace("'", "''"),
        secret.replace('"', '""'),
        "".join(chr(byte) if byte in _QUOTED_PRINTABLE else f"={byte:02X}" for byte in content),
        *_misread(secret, content),
    }
    # A secret that contains escapes itself only matches a fully unescaped text.
    forms |= {layer.text for layer in list(unescaped(secret))[-1:]}
    for url_form in (quote(content, safe=""), quote(content), quote_plus(content)):
        forms |= {url_form, _PERCENT.sub(_in_lower_case, url_form)}
    return frozenset(form for form in forms if len(form) >= MIN_SECRET_CHARACTERS)


_QUOTED_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) - {ord("=")}


def _misread(secret: str, content: bytes) -> Iterator[str]:
    """Non-ASCII letters decoded with a wrong encoding."""
    if secret.isascii():
        return
    yield from (unicodedata.normalize("NFC", secret), unicodedata.normalize("NFD", secret))
    yield from (content.decode("latin-1"), content.decode("cp1252", "replace"))
    if len(_NOT_ASCII.sub("", secret)) >= MIN_SECRET_CHARACTERS:  # or it would be `????`
        yield from (_NOT_ASCII.sub("?", secret), _NOT_ASCII.sub("\ufffd", secret))


def base64_forms(secret: str) -> frozenset[str]:
    """The characters of Base64 that `secret` alone decides, at each of its three places in a longer
    text, in both alphabets.
    """
    contents = {_content(secret)}
    if not secret.isascii():
        contents.add(secret.encode("latin-1", "replace"))
    forms = set()
    for content in contents:
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + content).decode()
            start = -(-8 * before // 6)
            end = 8 * (before + len(content)) // 6
            forms.add(encoded[start:end])
    forms |= {form.translate(_URL_SAFE) for form in forms}
    return frozenset(form for form in forms if len(form) >= _MIN_ENCODED_CHARACTERS)


_URL_SAFE: Final = str.maketrans("+/", "-_")


def _content(secret: str) -> bytes:
    """As UTF-8; bytes of a file or an environment that aren't UTF-8, unchanged."""
    try:
        return secret.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return secret.encode(errors="surrogatepass")


def _in_lower_case(escape: re.Match[str]) -> str:
    return escape[0].lower()
