"""Answer a small log in many cuts and write what came of it as JSON.

`test_same_answers` runs it with other settings of the libraries:

    python -m tests.streams.same_answers REGISTRY VERSION FILE CUT...
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.features import features, model_inputs
from models.features.windows import Windows
from models.ranking.candidates import candidate_features
from models.registry import registry
from models.registry.registry import Model
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from streams.counters.suggestions import Suggestions
from streams.decisions.answers import Undecided
from streams.decisions.decider import Decider, Decisions
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.scoring import Scorer
from streams.serving.bound_model import BoundModel
from streams.settings import AlertRule, Alerts, Recommend, Settings
from streams.transport.record_batch import RecordBatch
from tests.streams.snapshot import snapshot

SIZE, ITEMS, TOGETHER = 400, 2_500, 60
CUTS = 1, 2, 3, 7, 64, SIZE
NOW_MS = 1_790_000_000_000
Array = npt.NDArray[Any]


def log() -> tuple[list[bytes], list[bytes | None]]:
    shop = simulate_events(5, users=40, items=30, days=20, events=SIZE)
    groups = list(feed(shop.events, None))
    keys = [key for group in groups for key in group.keys][:SIZE]
    return keys, [value for group in groups for value in group.values][:SIZE]


def batches(size: int) -> Iterator[RecordBatch]:
    keys, values = log()
    for at in range(0, SIZE, size):
        end = min(at + size, SIZE)
        times, none = [NOW_MS + 9 * i for i in range(at, end)], [()] * (end - at)
        yield RecordBatch(
            "events", 0, at, end - 1, range(at, end), times, keys[at:end], values[at:end], none
        )


class Run:
    """The log, cut into batches of one size: what was answered and what is known afterwards."""

    def __init__(self, model: Model, size: int) -> None:
        self.probabilities: dict[str, dict[int, float]] = {"churn": {}, "risk": {}}
        self.decided: list[tuple[Windows, Suggestions]] = []
        rule = AlertRule(raise_at=0.2, clear_at=0.1)
        chosen = Settings(
            alerts=Alerts(churn=rule, risk=rule), recommend=Recommend(min_interval_s=0)
        )
        decoder = EventDecoder(chosen.product_contract())
        self.items = ItemTable()
        plan, metrics = Plan.from_settings(chosen), Metrics()
        scorer = Scorer(plan, decoder, self.items, metrics, record=self._record)
        scorer.use(model)
        self._listen(scorer._decider)
        self.state = scorer.new_state(0)
        outputs = [o for b in batches(size) for o in scorer.score_batch(self.state, b).outputs]
        self.outputs = sorted(outputs, key=lambda output: output.topic)

    def _record(self, _: int, offsets: Array, decisions: Decisions) -> None:
        for kind, (at, found) in decisions.probabilities.items():
            self.probabilities[kind] |= dict(zip(offsets[at].tolist(), found.tolist(), strict=True))

    def _listen(self, decider: Decider) -> None:
        decide = decider.decide

        def listening(parts: Sequence[Undecided], **named: Any) -> list[Decisions]:
            self.decided += [(part.windows, part.suggestions) for part in parts]
            return decide(parts, **named)

        decider.decide = listening  # type: ignore[method-assign]

    def lists(self) -> dict[str, list[str]]:
        said = [msgspec.json.decode(o.value or b"") for o in self.outputs]
        return {
            one["recommendation_id"]: [item["item_id"] for item in one["items"]]
            for one in said
            if "recommendation_id" in one
        }

    def everything(self) -> str:
        """A fingerprint of all outputs, all probabilities to the bit, and the state."""
        told = [(o.topic, o.key, o.value) for o in self.outputs], self.probabilities
        return _digest((told, snapshot(self.state)))


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def inner(bound: BoundModel, windows: Windows, suggestions: Suggestions) -> dict[str, Array]:
    """Every number on the way to a decision, by name; the first axis is the decision."""
    values = features.compute(windows)
    inputs = bound.inputs(windows, values)
    scores = bound.model.engine.score(inputs)
    pool = bound.pool(scores, suggestions, windows)
    found = {
        "features": values,
        "scaled": model_inputs.scale(values),
        "amounts": inputs.amounts,
        "ranker's": candidate_features(pool, windows),
        "ranked": bound.rank(pool, suggestions, windows).scores,
    }
    names = "candidates", "scores", "queries", "churn_logit", "risk_logit"
    found |= {name: getattr(scores, name) for name in names}
    found |= {
        head: bound.model.probability(head, scores, inputs.features) for head in ("churn", "risk")
    }
    return found


def differing(bound: BoundModel, windows: Windows, suggestions: Suggestions) -> list[str]:
    """Which numbers of a decision depend on the company it is made in, or on the place there."""
    rng = np.random.default_rng(0)
    few = rng.permutation(len(windows))[:TOGETHER]
    windows, suggestions = windows.take(few), suggestions.take(few)
    whole = inner(bound, windows, suggestions)
    bad = set()
    for size in CUTS:
        order = rng.permutation(len(windows))
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            part = inner(bound, windows.take(rows), suggestions.take(rows))
            bad |= {
                f"{name} of {size}"
                for name, values in part.items()
                if values.tobytes() != whole[name][rows].tobytes()
            }
    return sorted(bad)


def main(root: Path, version: str, cuts: list[int]) -> dict[str, Any]:
    model = registry.load(root, version)
    runs = {size: Run(model, size) for size in cuts}
    whole = runs[SIZE]
    (windows, suggestions), *_ = whole.decided
    return {
        "by_cut": {size: run.everything() for size, run in runs.items()},
        "differing": differing(BoundModel(model, whole.items), windows, suggestions),
        "lists": whole.lists(),
        "probabilities": whole.probabilities,
    }


if __name__ == "__main__":
    registry_at, name, file, *sizes = sys.argv[1:]
    told = main(Path(registry_at), name, [int(size) for size in sizes])
    Path(file).write_text(json.dumps(told))
