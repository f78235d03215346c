import hashlib
from types import ModuleType

import pytest

from bridge.plan.murmur2 import murmur2, partition


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_values_that_kafka_publishes_for_its_own_hash(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0x7FFFFFFF


def test_every_tail_length_agrees_with_the_client_library() -> None:
    theirs = pytest.importorskip("aiokafka.partitioner").murmur2
    for length in range(70):
        data = hashlib.shake_128(bytes([length])).digest(length)
        assert murmur2(data) == theirs(data) & 0x7FFFFFFF


def test_a_record_without_a_key_goes_to_partition_0() -> None:
    assert partition(None, 12) == 0
    assert partition(b"21", 12) == 1173551340 % 12


def test_the_executors_quick_form_says_the_same(form: ModuleType) -> None:
    for length in range(70):
        data = hashlib.shake_128(bytes([length])).digest(length)
        assert form.partition(data, 1000) == partition(data, 1000)
    assert form.partition(None, 12) == 0
