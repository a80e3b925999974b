"""A record that makes any stage raise is dead-lettered, and nothing else is changed by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from models.registry import registry
from models.registry.registry import Model
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from streams.counters.counters import Counters
from streams.decisions.decider import Decider
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from streams.ingest.decode import BatchDecoder
from streams.ingest.isolation import TooManyFailuresError
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.recommendations.message import RecommendationWriter
from streams.scoring import Scored, Scorer
from streams.settings import AlertRule, Alerts, Recommend, Settings
from streams.transport.record_batch import RecordBatch
from tests.models import versions
from tests.streams.snapshot import snapshot

SIZE = 240
NOW_MS = 1_790_000_000_000
MALFORMED = b"not json"
Log = tuple[list[bytes], list[bytes]]


@pytest.fixture(scope="module")
def log() -> Log:
    shop = simulate_events(5, users=40, items=30, days=20, events=SIZE)
    groups = list(feed(shop.events, None))
    keys = [key for group in groups for key in group.keys]
    return keys[:SIZE], [value for group in groups for value in group.values][:SIZE]


@pytest.fixture(scope="module")
def poisoned(log: Log, model: Model) -> list[int]:
    """Offsets of events that go through every stage, two of them side by side."""
    scored, _ = run(model, batch(log, [], marked), SIZE)
    said = [msgspec.json.decode(o.value or b"") for o in answers(scored)]
    asked = {one["trigger_message_id"] for one in said if "trigger_message_id" in one}
    offsets = [i for i, value in enumerate(log[1]) if decoded(value) in asked]
    pair = next(i for i, j in pairwise(offsets) if j == i + 1 and i > 50)
    return sorted({offsets[20], pair, pair + 1, offsets[-1]})


def decoded(value: bytes) -> str:
    return str(msgspec.json.decode(value)["messageId"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("registry")
    return registry.load(
        root, versions.store(root, versions.version_files([f"i{n}" for n in range(30)]))
    )


def batch(log: Log, poisoned: list[int], poison: Callable[[bytes], bytes]) -> RecordBatch:
    keys, values = log
    values = [poison(value) if i in poisoned else value for i, value in enumerate(values)]
    n = len(keys)
    times = [NOW_MS + 9 * i for i in range(n)]
    return RecordBatch("events", 0, 0, n - 1, range(n), times, keys, values, [()] * n)


def marked(value: bytes) -> bytes:
    """The event as it is, under an id that the broken stages know."""
    return value.replace(b'"messageId":"', b'"messageId":"poison-')


class Broken:
    """A stage that does its work and then raises, where the batch has a poisoned event."""

    def __init__(self, owner: Any, name: str) -> None:
        self._real = getattr(owner, name)

    def __get__(self, instance: Any, _owner: Any = None) -> Any:
        return self if instance is None else partial(self, instance)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        result = self._real(*arguments, **named)
        if "poison-" in repr([*map(_told, arguments), _told(result)]):
            raise ValueError("no payload may be logged: poison-secret")
        return result


def _told(value: Any) -> Any:
    """What of an argument may name a message."""
    return getattr(value, "message_ids", getattr(value, "values", value))


def run(
    model: Model | None, records: RecordBatch, size: int
) -> tuple[list[Scored], PartitionState]:
    alerts = Alerts(churn=AlertRule(raise_at=0.2, clear_at=0.1), risk=AlertRule(enabled=False))
    chosen = Settings(alerts=alerts, recommend=Recommend(min_interval_s=0))
    decoder = EventDecoder(chosen.product_contract())
    scorer = Scorer(Plan.from_settings(chosen), decoder, ItemTable(), Metrics(), max_failures=2)
    scorer.use(model)
    state = scorer.new_state(0)
    begins = range(0, len(records), size)
    parts = [records.part(at, min(at + size, len(records))) for at in begins]
    return [scorer.score_batch(state, part) for part in parts], state


def answers(scored: list[Scored]) -> list[Output]:
    outputs = [output for one in scored for output in one.outputs]
    return sorted(
        (output for output in outputs if output.topic != "dead-letters"),
        key=lambda output: output.topic,
    )


def letters(scored: list[Scored]) -> list[dict[str, str]]:
    dead = [o for one in scored for o in one.outputs if o.topic == "dead-letters"]
    return [
        {name: value.decode() for name, value in output.headers}
        | {"value": (output.value or b"").decode()}
        for output in dead
    ]


STAGES: dict[str, tuple[Any, str]] = {
    "decode": (BatchDecoder, "decode"),
    "histories": (Histories, "apply"),
    "counters": (Counters, "advance"),
    "decide": (Decider, "_admit"),
    "encode": (RecommendationWriter, "write"),
    "whole decision": (Decider, "decide"),
}


@pytest.fixture(params=STAGES)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    owner, name = STAGES[request.param]
    monkeypatch.setattr(owner, name, Broken(owner, name))
    return str(request.param)


@pytest.mark.parametrize("size", [1, 64, SIZE])
def test_what_breaks_a_stage_is_as_if_it_had_been_malformed(
    log: Log, poisoned: list[int], model: Model, broken: str, size: int
) -> None:
    scored, state = run(model, batch(log, poisoned, marked), size)
    refused = letters(scored)
    expected, known = run(model, batch(log, poisoned, lambda _: MALFORMED), size)
    asked = [int(one["hark-offset"]) for one in refused]
    assert asked == poisoned
    assert answers(scored) == answers(expected)
    assert len(answers(scored)) > 50
    assert snapshot(state) == snapshot(known)
    assert {one["hark-reason"] for one in refused} == {"unprocessable"}
    assert all("ValueError at streams/" in one["hark-detail"] for one in refused)
    assert all("poison-" in one["value"] for one in refused), "the original bytes"
    counts = [one.counts for one in scored]
    assert sum(one.records for one in counts) == SIZE
    assert sum(one.accepted + one.duplicates for one in counts) == SIZE - len(poisoned)
    assert sum(one.dead_letters["unprocessable"] for one in counts if one.dead_letters) == len(
        poisoned
    )


def test_logs_name_the_place_and_not_the_payload(
    log: Log,
    poisoned: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Counters, "advance", Broken(Counters, "advance"))
    run(None, batch(log, poisoned, marked), SIZE)
    printed = capsys.readouterr()
    # Where the lines go depends on whether a test before this one set up the logs.
    lines = printed.out + printed.err + caplog.text
    assert "record.refused" in lines
    assert "streams/scoring.py" in lines
    assert "secret" not in lines


def test_where_every_record_fails_the_worker_stops(
    log: Log, poisoned: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bad deploy")

    monkeypatch.setattr(Histories, "apply", broken)
    with pytest.raises(
        TooManyFailuresError, match=r"3 records in a row .*limit 2.*RuntimeError at"
    ):
        run(None, batch(log, poisoned, marked), SIZE)


def test_no_record_is_to_blame_where_memory_is_short(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Counters, "advance", short)
    with pytest.raises(MemoryError):
        run(None, batch(log, [], marked), SIZE)


def test_a_restore_skips_what_was_refused(
    log: Log, poisoned: list[int], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Decider, "decide", Broken(Decider, "decide"))
        _, live = run(model, batch(log, poisoned, marked), SIZE)
    scorer = Scorer(
        Plan.from_settings(Settings()),
        EventDecoder(Settings().product_contract()),
        ItemTable(),
        Metrics(),
    )
    restored = scorer.new_state(0)
    restored.refused = frozenset(poisoned)
    records = batch(log, poisoned, marked)
    for at in range(0, SIZE, 37):
        scorer.apply_batch(restored, records.part(at, min(at + 37, SIZE)))
    assert restored.next_offset == live.next_offset == SIZE
    there, here = snapshot(live), snapshot(restored)
    assert here["histories"] == there["histories"]
    assert here["counters"] == there["counters"]
