import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.embedded.batch_codec import decode, encode
from bridge.log.embedded.write import BYTES_A_BATCH, RECORDS_A_BATCH, chunks

contents = st.none() | st.binary(max_size=12)
names = st.sampled_from(["ce_id", "ce_type", "naïve ✓", ""])
headers = st.lists(st.tuples(names, st.binary(max_size=5)), max_size=3)
alike = st.just([("ce_id", b"1"), ("ce_type", b"update")])
times = st.integers(-(2**62), 2**62) | st.just(7)
rows = st.tuples(contents, contents, headers | alike, times)


@given(st.lists(rows, min_size=1, max_size=20))
def test_a_batch_comes_back_as_it_was(
    given_rows: list[tuple[bytes, bytes, list[tuple[str, bytes]], int]],
) -> None:
    keys, values, each_headers, stamps = zip(*given_rows, strict=True)

    records = decode(encode(keys, values, each_headers, stamps), "t", 3, 1000)

    assert [(r.key, r.value, [*r.headers], r.timestamp) for r in records] == given_rows
    assert [r.offset for r in records] == [*range(1000, 1000 + len(given_rows))]
    assert {(r.topic, r.partition) for r in records} == {("t", 3)}


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=20, unique=True))
def test_offsets_with_gaps_come_back(gaps: list[int]) -> None:
    offsets = [each - min(gaps) for each in sorted(gaps)]
    count = len(offsets)

    data = encode([b"k"] * count, [b"v"] * count, [()] * count, [1] * count, offsets)

    assert [r.offset - 5 for r in decode(data, "t", 0, 5)] == offsets


def test_what_is_the_same_in_all_records_is_stored_once() -> None:
    same = [("ce_source", b"s" * 100), ("content-type", b"application/avro")]

    data = encode(
        [b"%d" % at for at in range(1000)], [b"v" * 100] * 1000, [same] * 1000, [1] * 1000
    )

    assert len(data) < 8000


def test_a_batch_of_a_newer_format_is_refused_by_name() -> None:
    data = encode([b"k"], [b"v"], [()], [1])

    with pytest.raises(ValueError, match="orders has version 9"):
        decode(b"\x09" + data[1:], "orders", 0, 0)


@given(st.lists(st.integers(0, BYTES_A_BATCH * 2), min_size=1, max_size=60))
def test_batches_are_cut_without_gaps_and_within_their_bounds(sizes: list[int]) -> None:
    cut = [*chunks(sizes)]

    assert [at for start, end in cut for at in range(start, end)] == [*range(len(sizes))]
    for start, end in cut:
        assert end - start == 1 or sum(sizes[start:end]) <= BYTES_A_BATCH


def test_a_batch_has_no_more_records_than_a_reader_should_decode_at_once() -> None:
    assert [end - start for start, end in chunks([1] * 2500)] == [
        RECORDS_A_BATCH,
        RECORDS_A_BATCH,
        500,
    ]
