"""A worker forgets a user at one place of the log, however the log is cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from ops.privacy.forget_command import forget
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.errors import ConfigError, Reason
from schemas.events import control
from schemas.events.codec import EventDecoder
from schemas.outputs import Alert
from streams.alerts.book import FORGOTTEN, AlertBook, Observation, Thresholds, source_offset
from streams.histories.item_table import ItemTable
from streams.histories.user_rows import NO_SLOT
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch

NOW_MS = 1_790_000_000_000
AT = 400
Row = tuple[bytes, "bytes | None", list[tuple[str, bytes]]]


@pytest.fixture(scope="module")
def log() -> list[Row]:
    shop = simulate_events(5, users=20, items=40, days=20, events=800)
    return [
        (key, value, [])
        for group in feed(shop.events, None)
        for key, value in zip(group.keys, group.values, strict=True)
    ]


def batch(rows: list[Row], begin: int, end: int) -> RecordBatch:
    part = rows[begin:end]
    return RecordBatch(
        "events", 0, begin, end - 1, range(begin, end), [NOW_MS + 9 * i for i in range(begin, end)],
        [key for key, _, _ in part], [value for _, value, _ in part],
        [tuple(headers) for _, _, headers in part],
    )  # fmt: skip


def run(rows: list[Row], size: int, *, replay: bool = False) -> tuple[PartitionState, list[Output]]:
    decoder = EventDecoder(Settings().product_contract())
    scorer = Scorer(Plan.from_settings(Settings()), decoder, ItemTable(), Metrics())
    state, outputs = scorer.new_state(0), []
    for begin in range(0, len(rows), size):
        part = batch(rows, begin, min(begin + size, len(rows)))
        if replay:
            scorer.apply_batch(state, part)
        else:
            outputs += scorer.score_batch(state, part).outputs
    return state, sorted(outputs, key=lambda one: one.topic)


def busiest(rows: list[Row]) -> str:
    keys = [key for key, _, _ in rows[:AT]]
    return max(set(keys), key=keys.count).decode()


def with_forget(rows: list[Row]) -> list[Row]:
    return [*rows[:AT], control.forget(busiest(rows)), *rows[AT:]]


def known(state: PartitionState, user: str) -> bool:
    return state.histories.user_rows.slot(user) != NO_SLOT


def test_nothing_of_the_user_is_known_from_that_record_on(log: list[Row]) -> None:
    user = busiest(log)
    for replay in (False, True):
        before, _ = run(log[:AT], AT, replay=replay)
        after, _ = run(with_forget(log)[: AT + 1], AT + 1, replay=replay)
        assert known(before, user)
        assert not known(after, user)
        assert user not in after.counters.labelled
        assert len(after.histories.user_rows) == len(before.histories.user_rows) - 1
        assert after.next_offset == AT + 1


def test_the_log_may_be_cut_anywhere(log: list[Row]) -> None:
    rows = with_forget(log)
    _, whole = run(rows, len(rows))
    for size in (1, 7, AT, AT + 1):
        assert run(rows, size)[1] == whole


def test_a_user_who_comes_back_is_a_new_user(log: list[Row]) -> None:
    user = busiest(log)
    state, _ = run(with_forget(log), 100)
    again = sum(key.decode() == user for key, _, _ in log[AT:])
    assert again, "the user comes back"
    rows = state.histories.user_rows
    assert int(rows.rows["events"][rows.slot(user)]) <= again


def test_the_record_is_counted_and_no_dead_letter() -> None:
    decoder = EventDecoder(Settings().product_contract())
    scorer = Scorer(Plan.from_settings(Settings()), decoder, ItemTable(), Metrics())
    scored = scorer.score_batch(scorer.new_state(0), batch([control.forget("nobody")], 0, 1))
    assert (scored.counts.records, scored.counts.accepted, scored.outputs) == (1, 1, [])


@pytest.mark.parametrize("missing", ["header", "type"])
def test_half_a_control_record_forgets_nobody(log: list[Row], missing: str) -> None:
    user = busiest(log)
    key, value, headers = control.forget(user)
    half: Row = (key, value, []) if missing == "header" else (key, b'{"userId":"x"}', headers)
    state, outputs = run([*log[:AT], half], 50)
    assert known(state, user)
    letters = [one for one in outputs if one.topic == "dead-letters"]
    reasons = {dict(letter.headers)["hark-reason"].decode() for letter in letters}
    assert reasons <= {Reason.WRONG_TYPE, Reason.MISSING_MESSAGE_ID}
    assert letters[-1].value == half[1]


THRESHOLDS: dict[str, Any] = {"raise_at": 0.5, "clear_at": 0.2, "critical_at": 0.9}


def test_an_open_alert_closes_and_is_not_recalled() -> None:
    state, _ = run([], 1)
    decoder = EventDecoder(Settings().product_contract())
    scorer = Scorer(Plan.from_settings(Settings()), decoder, ItemTable(), Metrics())
    seen = Observation(
        subject="ann", probability=0.7, time_ms=NOW_MS, broker_ms=NOW_MS,
        partition=0, offset=0, message_id="m",
    )  # fmt: skip
    book = state.books["churn"]
    fired = book.observe(seen, Thresholds(**THRESHOLDS), "v1")
    assert fired is not None
    rows = [control.forget("nobody")] * 9 + [control.forget("ann")]
    scored = scorer.score_batch(state, batch(rows, 0, 10))
    (output,) = scored.outputs
    alert = msgspec.json.decode(output.value or b"", type=Alert)
    assert (alert.alert_id, alert.status, alert.subject) == (fired.alert_id, "resolved", "ann")
    assert alert.model_version == FORGOTTEN
    assert scored.alerts == [("churn", "warning", "resolved")]
    assert len(book) == 0
    again = AlertBook("churn", 60)
    again.recall(fired)
    again.recall(alert)
    assert len(again) == 0
    assert source_offset(output.headers) == 9, "a restore puts it after what it closes"


@pytest.mark.parametrize("more", [[], ["--status"]])
def test_nobody_can_not_be_forgotten(more: list[str]) -> None:
    done = CliRunner().invoke(forget, ["", *more])
    assert isinstance(done.exception, ConfigError)
    assert "USER is empty" in str(done.exception)
    assert done.output == ""
