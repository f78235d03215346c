"""Parameters of commands' statements and probes."""

import pytest

from bridge.model.specs import ArgSpec, CommandSpec
from bridge.model.types import FieldType
from bridge.wiring.check.declarations import probe_problems, statement_problems


@pytest.mark.parametrize(
    ("run", "key", "expected_parts"),
    [
        ("update t set a = :a where k = :key", ("k",), []),
        ("update t set a = :a where k = :key_k", ("k",), []),
        ("update t set a = :a where k = :key", ("k", "l"), [":key stands for a key of one field"]),
        ("update t set a = :a where k = :key_k and l = :key_l", ("k", "l"), []),
        ("update t set a = :a where k = :key_x", ("k",), [":key_x, which is no argument"]),
        ("update t set a = :a where k = :key_x", (), []),
        (
            "update t set a = :b where k = :key",
            ("k",),
            [":b, which is no argument", "'a' isn't used"],
        ),
        ("update t set a = :a", ("k",), ["has no :key"]),
        ("select f(:key, cast(:a as text))", ("k",), []),
        ("select f(:key, :a::text)", ("k",), ["CAST(:a AS ..)"]),
        ("insert into t values (:key, :a, :id)", ("k",), []),
    ],
)
def test_parameters_of_statements(
    run: str, key: tuple[str, ...], expected_parts: list[str]
) -> None:
    spec = CommandSpec("erp", "c", "t", run, (ArgSpec("a", FieldType("string")),))
    problems = [what for what, _ in statement_problems(spec, key)]
    assert len(problems) == len(expected_parts)
    assert all(part in what for part, what in zip(expected_parts, problems, strict=True))


@pytest.mark.parametrize(
    ("probe", "expected_parts"),
    [
        ("", []),
        ("Orders?externalID=:id", []),
        ("Orders(:key)?status=:a", []),
        ("Orders?externalID=:nr", ["the probe names :nr, which is no argument; known are :a, :id"]),
        ("Orders?customer=:key_l", [":key_l, which is no argument"]),
        ("Orders?status=open", ["asks the same of every command"]),
    ],
)
def test_parameters_of_probes(probe: str, expected_parts: list[str]) -> None:
    args = (ArgSpec("a", FieldType("string")),)
    spec = CommandSpec("erp", "c", "t", "POST Orders", args, probe=probe)
    problems = [what for what, _ in probe_problems(spec, ("k",))]
    assert len(problems) == len(expected_parts)
    assert all(part in what for part, what in zip(expected_parts, problems, strict=True))
