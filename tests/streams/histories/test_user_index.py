"""The index of users finds what a dict would find."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.histories.user_index import UserIndex
from tests.example_count import example_count


class Clashing(str):
    """An id whose hash many others have."""

    __slots__ = ()

    def __hash__(self) -> int:
        return len(self) % 3 - 1 << 11


@settings(max_examples=example_count(100), deadline=None)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(1, 60), max_size=12))),
    clashing=st.booleans(),
)
def test_it_finds_what_a_dict_finds(steps: list[tuple[bool, set[int]]], clashing: bool) -> None:
    kind = Clashing if clashing else str
    index, known, free = UserIndex(), {}, list(range(60))
    everybody = [kind("u" * number) for number in range(1, 61)]
    for adding, numbers in steps:
        named = [everybody[number - 1] for number in sorted(numbers)]
        if adding:
            new = [user for user in named if str(user) not in known]
            slots = [free.pop() for _ in new]
            known.update(zip(map(str, new), slots, strict=True))
            index.add(new, np.array(slots, np.int64))
        else:
            gone = [known.pop(str(user)) for user in named if str(user) in known]
            index.remove(gone)
            free += gone
        assert index.find(everybody).tolist() == [known.get(str(u), -1) for u in everybody]
        assert len(index) == len(known)


def test_it_grows_and_shrinks_with_many() -> None:
    index = UserIndex()
    users = [f"user-{i}" for i in range(20_000)]
    index.add(users, np.arange(20_000))
    assert index.find(users).tolist() == list(range(20_000))
    index.remove(range(0, 20_000, 2))
    assert index.find(users).tolist() == [i if i % 2 else -1 for i in range(20_000)]
    index.add(users[::2], np.arange(0, 20_000, 2))
    assert index.find(users).tolist() == list(range(20_000))
