"""Too many dead letters stop the worker; a few never do."""

from __future__ import annotations

import pytest

from streams.ingest.brake import Brake, DeadLetterBrakeError


def brake() -> Brake:
    return Brake(max_share=0.5, window=100, max_consecutive=60)


def test_a_share_up_to_the_limit_passes() -> None:
    one = brake()
    for _ in range(50):
        one.observe(0, [True, False])


def test_a_share_above_the_limit_stops() -> None:
    with pytest.raises(DeadLetterBrakeError, match="51 of the last 100 records of partition 0"):
        brake().observe(0, [False] * 49 + [True] * 51)


def test_a_share_counts_only_over_a_full_window() -> None:
    brake().observe(0, [True] * 60)


def test_a_run_across_batches_stops() -> None:
    one = brake()
    one.observe(0, [True] * 60)
    with pytest.raises(DeadLetterBrakeError, match="61 dead letters in a row in partition 0"):
        one.observe(0, [True])


def test_a_good_record_ends_the_run() -> None:
    one = Brake(max_share=1, window=100, max_consecutive=60)
    for _ in range(5):
        one.observe(0, [True] * 60 + [False])


def test_dead_letters_of_other_partitions_neither_add_up_nor_hide_anything() -> None:
    one = brake()
    for partition in (1, 2):
        one.observe(partition, [True] * 60)
    one.observe(1, [False] * 1_000)
    with pytest.raises(DeadLetterBrakeError, match="in partition 2"):
        one.observe(2, [True])
