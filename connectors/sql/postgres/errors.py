"""Logging in to PostgreSQL with the secrets as they are now."""

from __future__ import annotations

import re

_WORDS = re.compile(
    r"authentication failed|no password supplied|role .* does not exist|"
    r"is not permitted to log in|fe_sendauth",
    re.IGNORECASE,
)
LOGIN_STATES = ("28P01", "28000")


def is_login_refusal(error: BaseException) -> bool:
    """Whether a connection failed because of its user or password. Most refusals come without a
    code; of a server that speaks another language than English this can't be told from the words.
    """
    return getattr(error, "sqlstate", None) in LOGIN_STATES or _WORDS.search(str(error)) is not None
