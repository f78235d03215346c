"""Each example's agent passes its own test, as its README says."""

import runpy

import pytest

from tests.examples.example import EXAMPLES

FILES = sorted(EXAMPLES.glob("*/agents/*.py"))


@pytest.mark.parametrize("file", FILES, ids=[file.parts[-3] for file in FILES])
def test_an_agent_passes_its_own_test(file: str) -> None:
    own = {
        name: test for name, test in runpy.run_path(str(file)).items() if name.startswith("test_")
    }
    assert own
    for test in own.values():
        test()
