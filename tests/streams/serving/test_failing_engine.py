"""An engine that fails, or answers nonsense, leaves no trace: as if there had been no model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from models.engines.engine import Engine, Logits, Scores, Tolerance
from models.features.model_inputs import ModelInputs
from models.heads.stack import HEADS
from models.registry import registry
from models.registry.registry import Model
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.errors import EngineError
from schemas.events.codec import EventDecoder
from streams.decisions.answers import Undecided
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scored, Scorer
from streams.settings import AlertRule, Alerts, Recommend, Settings
from streams.transport.record_batch import RecordBatch
from tests.models import versions
from tests.streams.snapshot import snapshot

SIZE = 300
NOW_MS = 1_790_000_000_000
ITEMS = 30
Features = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("registry")
    files = versions.version_files([f"i{n}" for n in range(ITEMS)])
    return registry.load(root, versions.store(root, files))


@pytest.fixture(scope="module")
def batch() -> RecordBatch:
    shop = simulate_events(5, users=40, items=ITEMS, days=20, events=SIZE)
    groups = list(feed(shop.events, None))
    keys = [key for group in groups for key in group.keys][:SIZE]
    values = [value for group in groups for value in group.values][:SIZE]
    times = [NOW_MS + 9 * i for i in range(SIZE)]
    return RecordBatch("events", 0, 0, SIZE - 1, range(SIZE), times, keys, values, [()] * SIZE)


@dataclass
class Double:
    """Another engine's answers, spoilt at one of the calls."""

    engine: Engine
    spoil: Callable[[Scores], Scores]
    call: int = 0
    calls: int = 0
    backend: str = "double"

    @property
    def tolerance(self) -> Tolerance:
        return self.engine.tolerance

    def score(self, inputs: ModelInputs) -> Scores:
        return self._spoilt(self.engine.score(inputs))

    def what_if(self, inputs: ModelInputs, features: Features) -> Logits:
        found = self.engine.what_if(inputs, features)
        nothing = np.empty((features[..., 0].size, 0), np.float32)
        logits = (found[head].ravel() for head in HEADS)
        scores = self._spoilt(Scores(nothing.astype(np.int64), nothing, nothing, *logits))
        return {head: scores.logit(head).reshape(found[head].shape) for head in HEADS}

    def _spoilt(self, scores: Scores) -> Scores:
        self.calls += 1
        return self.spoil(scores) if self.calls == self.call else scores


def fails(_: Scores) -> Scores:
    raise EngineError("the graphics card fell out")


def holding(name: str, number: float) -> Callable[[Scores], Scores]:
    """One row of one of the engine's outputs holds `number`."""

    def spoil(scores: Scores) -> Scores:
        column = getattr(scores, name).copy()
        column[len(column) // 2] = number
        return replace(scores, **{name: column})

    return spoil


def new_scorer(model: Model | None) -> Scorer:
    churn = AlertRule(raise_at=0.418, clear_at=0.416, critical_at=0.425, cooldown_s=0)
    alerts = Alerts(churn=churn, risk=AlertRule(enabled=False))
    chosen = Settings(alerts=alerts, recommend=Recommend(min_interval_s=0))
    decoder = EventDecoder(chosen.product_contract())
    scorer = Scorer(Plan.from_settings(chosen), decoder, ItemTable(), Metrics())
    scorer.use(model)
    return scorer


def run(model: Model | None, batch: RecordBatch, size: int = SIZE) -> tuple[Scored, PartitionState]:
    scorer = new_scorer(model)
    state = scorer.new_state(0)
    parts = [batch.part(at, min(at + size, SIZE)) for at in range(0, SIZE, size)]
    return Scored.joined([scorer.score_batch(state, part) for part in parts]), state


def alerts(scored: Scored) -> list[dict[str, Any]]:
    return [msgspec.json.decode(o.value or b"") for o in scored.outputs if o.topic == "alerts"]


def test_there_are_alerts_to_explain(model: Model, batch: RecordBatch) -> None:
    engine = Double(model.engine, fails)
    scored, _ = run(replace(model, engine=engine), batch)
    found = alerts(scored)
    assert {one["status"] for one in found} == {"firing", "resolved"}
    assert sum(len(one["reason_codes"]) for one in found) > 5
    assert engine.calls == 2, "all alerts of a batch are explained together"


SPOILT = {
    "failure": fails,
    **{
        f"{name} {number}": holding(name, number)
        for name in ("churn_logit", "risk_logit", "queries", "scores")
        for number in (math.nan, math.inf, -math.inf)
    },
}


CALLS = [
    *((spoilt, 1) for spoilt in SPOILT),
    *((spoilt, 2) for spoilt in SPOILT if spoilt.startswith(("failure", "churn_logit"))),
]


@pytest.mark.parametrize(
    ("spoilt", "call"), CALLS, ids=lambda part: {1: "answer", 2: "explanation"}.get(part, part)
)
def test_a_batch_whose_engine_fails_is_as_if_there_had_been_no_model(
    model: Model, batch: RecordBatch, spoilt: str, call: int
) -> None:
    engine = Double(model.engine, SPOILT[spoilt], call)
    scored, state = run(replace(model, engine=engine), batch)
    expected, counted = run(None, batch)
    assert engine.calls == call
    assert scored.engine_error
    assert scored.outputs == expected.outputs
    assert len(scored.outputs) > 50
    assert snapshot(state) == snapshot(counted)


def test_a_ranker_that_answers_nonsense_is_a_failing_engine(
    model: Model, batch: RecordBatch
) -> None:
    class Ranker:
        def score(self, features: Any) -> Any:
            return np.where(np.arange(features.shape[1]) == 1, np.nan, features.sum(axis=2))

    ranked: Any = replace(model, ranker=Ranker())  # type: ignore[arg-type]
    scored, state = run(ranked, batch)
    expected, counted = run(None, batch)
    assert "ranker" in scored.engine_error
    assert scored.outputs == expected.outputs
    assert snapshot(state) == snapshot(counted)


def test_an_engine_error_leaves_the_state_where_it_was(model: Model, batch: RecordBatch) -> None:
    scorer = new_scorer(replace(model, engine=Double(model.engine, fails, 2)))
    state = scorer.new_state(0)
    columns = scorer._decoder.decode(batch).columns
    applied = state.histories.apply(columns)
    live = state.counters.advance(columns, applied, context=True)
    windows = applied.windows.with_context(live.context)
    before = snapshot(state)
    with pytest.raises(EngineError, match="fell out"):
        scorer._decider.decide([Undecided(state, columns, applied, windows, live.suggestions)])
    assert snapshot(state) == before


@pytest.mark.parametrize("size", [1, 37])
def test_alerts_and_their_reasons_are_the_same_however_the_log_is_cut(
    model: Model, batch: RecordBatch, size: int
) -> None:
    whole, _ = run(model, batch)
    cut, _ = run(model, batch, size)
    assert alerts(cut) == alerts(whole)
