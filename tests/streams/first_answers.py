"""Prints, as JSON, what compiles when a worker that is warm gives its first answers.

In a process of its own: kernels that another test has compiled would hide those that the warm-up
forgets.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from models.registry import registry
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import AlertRule, Alerts, Recommend, Settings
from streams.transport.record_batch import RecordBatch
from streams.warm_up import warm
from tests.models import versions

PARTITIONS = 3


def compiled() -> dict[str, int]:
    """How often each kernel was compiled, or loaded from the cache, in this process."""
    return {
        f"{module}.{name}": len(value.signatures)
        for module in list(sys.modules)
        if module.startswith(("streams.", "models."))
        for name, value in vars(sys.modules[module]).items()
        if hasattr(value, "signatures")
    }


def main() -> None:
    """Warm up, load a model, answer: alone and together, one event and many."""
    rule = AlertRule(raise_at=0.2, clear_at=0.1)
    chosen = Settings(alerts=Alerts(churn=rule, risk=rule), recommend=Recommend(min_interval_s=0))
    plan, decoder = Plan.from_settings(chosen), EventDecoder(chosen.product_contract())
    warm(plan, decoder)
    scorer = Scorer(plan, decoder, ItemTable(), Metrics())
    with tempfile.TemporaryDirectory() as folder:
        files = versions.version_files([f"item-{n}" for n in range(60)])
        heads = {"churn": {"shipped": True}, "risk": {"shipped": False}}
        version = versions.store(Path(folder), files, heads=heads)
        scorer.use(registry.load(Path(folder), version))
    before = compiled()
    shop = simulate_events(3, users=40, items=60, days=9, events=1_200)
    groups = list(feed(shop.events, None))
    keys = [key for group in groups for key in group.keys]
    values = [value for group in groups for value in group.values]
    states = [scorer.new_state(number) for number in range(PARTITIONS)]
    begin = 0
    for size in (1, 1, 3, 40, 300):
        n = range(begin, begin + size)
        batches = [
            RecordBatch(
                "events", state.partition, begin, n[-1], n,
                [1_790_000_000_000 + 99 * i for i in n],
                keys[begin : n[-1] + 1], values[begin : n[-1] + 1], [()] * size,
            )
            for state in states
        ]  # fmt: skip
        scorer.score_together(list(zip(states, batches, strict=True)))
        begin += size
    after = compiled()
    new = {name: n for name, n in after.items() if n != before.get(name)}
    sys.stdout.write(json.dumps(new) + "\n")


if __name__ == "__main__":
    main()
