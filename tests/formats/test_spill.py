"""Records put together by key: in memory while they are few, in nameless files when many, the same either way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from formats.spill import Kept, spill

records = st.lists(
    st.builds(
        Kept,
        st.sampled_from(["1", "2", "10", "", "é", "a b"]),
        st.sampled_from("15B"),
        st.just("file"),
        st.integers(1, 10**7),
        st.binary(max_size=20),
    ),
    max_size=60,
)


def grouped(given_: list[Kept], held: int, shares: int) -> list[list[Kept]]:
    with spill(held, shares) as kept:
        for record in given_:
            kept.put(record)
        return list(kept.groups())


@given(records)
@settings(max_examples=60, deadline=None)
def test_files_give_the_groups_that_memory_gives(given_: list[Kept]) -> None:
    in_memory = grouped(given_, 10**9, 3)
    assert [group[0].key for group in in_memory] == sorted({record.key for record in given_})
    by_key = {key: sorted((r for r in given_ if r.key == key), key=lambda r: r.kind) for key in {r.key for r in given_}}
    assert {group[0].key: group for group in in_memory} == by_key
    for held in (1, 50, 400):
        spilled = grouped(given_, held, 3)
        assert {group[0].key: group for group in spilled} == by_key
        assert len(spilled) == len(by_key)
