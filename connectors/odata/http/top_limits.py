"""The largest `$top` of each entity set, if it refuses larger ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from bridge.model.errors import Rejected
from connectors.odata.http.errors import is_refusal

Result = TypeVar("Result")


class TopLimits:
    """Remembers by path. A refused `$top` is halved until it is accepted. It is the reason only if a
    `$top` of one row is accepted.
    """

    def __init__(self) -> None:
        self._largest: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def of(self, path: str) -> int | None:
        """The largest accepted `$top`; None: no limit is known."""
        return self._largest.get(path)

    async def ask(
        self,
        path: str,
        params: Mapping[str, str],
        ask: Callable[[Mapping[str, str]], Awaitable[Result]],
    ) -> Result:
        """The result of `ask` for these query options, with the largest `$top` that the service accepts.
        Raises as `ask`: its first refusal, where that isn't about `$top`.
        """
        wanted = int(params.get("$top", "0"))
        top = min(wanted, self._largest.get(path, wanted))
        options = {**params, "$top": str(top)} if "$top" in params else params
        try:
            answered = await ask(options)
        except Rejected as error:
            if top <= max(1, self._taken.get(path, 1)) or not is_refusal(error):
                raise
            refusal = error
        else:
            self._taken[path] = max(top, self._taken.get(path, 0))
            return answered
        return await self._halved(path, options, top, ask, refusal)

    async def _halved(
        self,
        path: str,
        params: Mapping[str, str],
        top: int,
        ask: Callable[[Mapping[str, str]], Awaitable[Result]],
        refusal: Rejected,
    ) -> Result:
        taken, smallest = None, 1
        try:
            taken = await ask({**params, "$top": "1"})
        except Rejected:
            raise refusal from None
        while top // 2 > smallest:
            top //= 2
            try:
                taken = await ask({**params, "$top": str(top)})
            except Rejected as error:
                if not is_refusal(error):
                    raise
                continue
            smallest = top
        self._largest[path] = self._taken[path] = smallest
        return taken
