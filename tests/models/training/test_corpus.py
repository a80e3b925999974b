"""The corpus: next distinct items and the pieces that histories are cut into."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.training.corpus import chunks, next_distinct

USERS_AND_ITEMS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=0, max_size=40
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


@given(USERS_AND_ITEMS)
def test_the_target_is_the_users_next_event_on_another_known_item(
    rows: list[tuple[int, int]],
) -> None:
    users = np.array([user for user, _ in rows], dtype=np.int64)
    items = np.array([item for _, item in rows], dtype=np.int64)
    found = next_distinct(users, items)
    for i in range(len(rows)):
        wanted = len(rows)
        for j in range(i + 1, len(rows)):
            if users[j] != users[i]:
                break
            if items[j] > 0 and items[j] != items[i]:
                wanted = j
                break
        assert found[i] == wanted


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(1, 12),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_pieces_cover_every_event_once_and_never_cross_users(
    sizes: list[int], length: int, seed: int | None
) -> None:
    users = np.repeat(np.arange(len(sizes)), sizes)
    rng = None if seed is None else np.random.default_rng(seed)
    starts, lengths = chunks(users, length, rng)
    covered = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    assert covered.tolist() == list(range(len(users)))
    assert lengths.min() >= 1
    assert lengths.max() <= length
    for start, size in zip(starts, lengths, strict=True):
        assert len(set(users[start : start + size].tolist())) == 1


def test_without_randomness_the_newest_piece_is_full() -> None:
    starts, sizes = chunks(np.zeros(10, dtype=np.int64), 4, None)
    assert list(zip(starts.tolist(), sizes.tolist(), strict=True)) == [(0, 2), (2, 4), (6, 4)]
