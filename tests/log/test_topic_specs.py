"""What topics should look like, and what of one that exists does not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.log.port import TopicInfo, TopicSpec
from bridge.log.topic_specs import (
    change_topic_spec,
    internal_topic_specs,
    public_topic_specs,
    spec_differences,
)
from bridge.model.names import SYSTEM_TOPICS

SPEC = TopicSpec("t")
DAY_MS = 86_400_000


def test_another_number_of_partitions_is_no_mere_warning() -> None:
    (what, _) = next(iter(spec_differences(SPEC, TopicInfo(SPEC, 3), 6)))
    assert what.startswith("3 partitions instead of 6")


@pytest.mark.parametrize(
    ("spec", "actual", "words"),
    [
        (SPEC, replace(SPEC, retention_ms=7 * DAY_MS), "keeps records for 7d instead of ever"),
        (SPEC, replace(SPEC, cleanup="compact"), "cleanup is compact instead of delete"),
        (
            TopicSpec("t", "compact", history_ms=30 * DAY_MS),
            TopicSpec("t", "compact", history_ms=DAY_MS),
            "keeps every event for 1d instead of 30d",
        ),
    ],
)
def test_another_cleanup_or_retention_is_said(
    spec: TopicSpec, actual: TopicSpec, words: str
) -> None:
    assert [what for what, _ in spec_differences(spec, TopicInfo(actual, 1), None)] == [words]
    assert not list(spec_differences(spec, TopicInfo(spec, 1), None))


def test_changes_are_compacted_and_what_people_read_is_kept_for_ever() -> None:
    changes, *others = public_topic_specs("acme", ["erp.order"], DAY_MS)
    assert changes == change_topic_spec("acme", "erp.order", DAY_MS)
    assert (changes.cleanup, changes.history_ms) == ("compact", DAY_MS)
    assert len(others) == len(SYSTEM_TOPICS)
    assert {(spec.cleanup, spec.retention_ms) for spec in others} == {("delete", None)}


def test_internal_topics_have_one_partition() -> None:
    specs = internal_topic_specs("acme", embedded_registry=True, remembers_ids=True)
    assert len(specs) == 5
    assert {spec.partitions for spec in specs} == {1}


def test_no_stage_makes_up_a_specification_of_its_own() -> None:
    """Else creation and `check` drift apart."""
    root = Path(__file__).parents[2] / "bridge"
    specifying = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "kit" not in file.parts and re.search(r"TopicSpec\([^)\n]*[\"(]", file.read_text())
    }
    assert specifying == {"log/topic_specs.py"}
