"""What every part of the suite starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, TypeVar

import pytest

from bridge.connector import Capabilities, Connector
from bridge.kit.connector.legacy import LegacySystem, Limitation
from bridge.model.errors import Unsupported

Capability = Literal["capture", "snapshot", "read", "write"]
Need = Literal[
    "capture",
    "snapshot",
    "read",
    "write",
    "ledger",
    "every_change",
    "truncate",
    "visibility",
    "rekey",
    "rollback",
    "lies",
    "not snapshot",
    "not ledger",
    "not every_change",
]
"""What a connector declares, or doesn't, or what its legacy system can do."""
ServerLie = Literal[
    "filters ignored",
    "filters find nothing",
    "orders ignored",
    "pages cut",
    "counts wrong",
    "links ignored",
]
"""What a server does that takes an option and doesn't heed it: conditions, orders, a page that is cut
without a link to the rest, a wrong number of rows, a link that leads to the first page again.
"""
TestOrSuite = TypeVar("TestOrSuite")


def needs(*what: Need) -> Callable[[TestOrSuite], TestOrSuite]:
    """Of a test, or a part of the suite: it is for connectors of which all of this is true.

    For others it is left out; a test that they refuse what they don't declare is for all.
    """

    def mark(test: TestOrSuite) -> TestOrSuite:
        setattr(test, "needs", what)  # noqa: B010 - of functions and of classes
        return test

    return mark


async def assert_refused(legacy: LegacySystem, *capabilities: Capability) -> list[Capability]:
    """Those that the connector doesn't declare; each of them raises Unsupported."""
    connector, system = legacy.connector, legacy.system()
    makes = {
        "capture": connector.source,
        "snapshot": connector.snapshot,
        "read": connector.reader,
        "write": connector.writer,
    }
    declared = connector.capabilities()
    lacking = [name for name in capabilities if not getattr(declared, name)]
    for name in lacking:
        with pytest.raises(Unsupported):
            await makes[name](system)
    return lacking


class ConnectorTests:
    """Subclasses name their `connector` and define the fixture `fresh`: a Legacy whose system
    holds nothing yet. `limitations`: what the system can't do, as in `LegacySystem`; `lies`: what its server
    can be made to do (`bridge.kit.connector.server_lies`).

    Tests that ask for more, or for less, than the connector declares are left out of the subclass.
    """

    connector: ClassVar[Connector]
    limitations: ClassVar[frozenset[Limitation]] = frozenset()
    lies: ClassVar[tuple[ServerLie, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "connector" in cls.__dict__:
            for name in left_out_tests(
                cls, cls.connector.capabilities(), cls.limitations, cls.lies
            ):
                setattr(cls, name, None)
        elif not hasattr(cls, "connector") and not cls.__module__.startswith("bridge.kit."):
            message = f"{cls.__qualname__} has to say which connector it tests: connector = ..."
            raise TypeError(message)

    @pytest.fixture
    def fresh(self) -> LegacySystem:
        """The legacy system under test, one for each test."""
        raise NotImplementedError("define the fixture `fresh` in your test class")

    @pytest.fixture
    async def legacy(self, fresh: LegacySystem) -> LegacySystem:
        """The legacy system with the suite's table, set up for the bridge."""
        fresh.start()
        await fresh.connector.setup(fresh.system())
        return fresh

    @pytest.fixture
    def can(self, legacy: LegacySystem) -> Capabilities:
        """What the connector declares."""
        return legacy.connector.capabilities()


def left_out_tests(
    suite: type,
    declared: Capabilities,
    limitations: frozenset[Limitation],
    lies: tuple[ServerLie, ...] = (),
) -> Iterator[str]:
    """The suite's tests that are not for such a connector."""
    true: dict[str, bool] = {
        name: bool(getattr(declared, name))
        for name in (
            "capture", "snapshot", "read", "write", "ledger", "every_change", "truncate", "visibility",
        )
    }  # fmt: skip
    true |= {"rekey": "rekey" not in limitations, "rollback": "rollback" not in limitations}
    true |= {"lies": bool(lies)}
    true |= {f"not {name}": not value for name, value in true.items()}
    for part in suite.__mro__:
        of_all = vars(part).get("needs", ())
        for name, test in vars(part).items():
            if name.startswith("test_"):
                wanted = (*of_all, *getattr(test, "needs", ()))
                if not all(true[need] for need in wanted):
                    yield name
