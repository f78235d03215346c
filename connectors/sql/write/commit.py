"""Commits a transaction of effects, and translates a failed commit."""

from __future__ import annotations

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc

from bridge.model.errors import OutcomeUnknown
from connectors.sql.errors import first_line, translate_error
from connectors.sql.postgres.errors import is_rolled_back
from connectors.sql.sqlite.errors import is_commit_refused


class CommitRefused(Exception):
    """A constraint that is checked at the end refused the transaction."""


def commit(transaction: sa.RootTransaction, where: str) -> None:
    """Commit; `where` is for people.

    Raises CommitRefused, the error of a transaction without any effect, or OutcomeUnknown.
    """
    try:
        transaction.commit()
    except sa_exc.DBAPIError as error:
        original = error.orig or error
        if isinstance(error, sa_exc.IntegrityError):
            raise CommitRefused(first_line(error)) from error
        if is_commit_refused(original) or is_rolled_back(original):
            raise translate_error(error, f"{where}: committing") from error
        raise OutcomeUnknown(
            f"{where}: the answer to the commit was lost ({first_line(error)}); send "
            "the same commands again, the ledger knows"
        ) from error
