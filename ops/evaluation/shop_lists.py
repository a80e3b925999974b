"""Lists on a live shop: `hark evaluate retailrocket`, and `--events` on a file of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models.evaluation import intervals, metrics
from models.training import recipe
from ops.evaluation import baselines
from ops.evaluation.report import HARK, Report, Row, Show, Task
from ops.evaluation.temporal import Lists, ask_the_future
from ops.evaluation.timeline import ITEM
from ops.event_files.adapters import Source, load
from ops.event_files.options import warn_of
from schemas.events.contract import Contract
from streams.counters.suggestions import Source as From
from streams.settings import Settings, load_settings

METHODS = (HARK, "popularity", "covisitation", "own_recent", "network")
PROTOCOL = (
    "Temporal split at the 0.9 quantile of the event times; each test event that goes to another "
    "item than the user's last one is a target, asked at the user's event before it; nothing is "
    "filtered but that last item; ranked over the whole catalogue; counters live as in the worker, "
    "all weights from before the cut."
)
FIRST = (
    " A user's first event is a target too: nobody can be asked about it, so it is a miss for all "
    "but popularity."
)

SECONDS_PER_EVENT, LEAST_SECONDS, MOST_SECONDS = 1e-3, 60.0, 360.0
"""Longest training of the network."""
QUICK: dict[str, Any] = {
    "epochs": 4,
    "learning_rate": 2e-3,
    "batch_tokens": 1_024,
    "max_seconds": 1_800.0,
}
"""A small shop: few epochs, whose rate falls to nearly 0, are better than the start of many."""
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def retailrocket(task: Task, show: Show) -> Report:
    """The published protocol, with frozen counters too, slices and an ablation."""
    source = load(task.file, "retailrocket")
    usual = _recipe(source, task.seed)
    training = replace(usual, settings=replace(usual.settings, **QUICK), dropout=0.2)
    lists = ask_the_future(
        source,
        load_settings(),
        training,
        show,
        partitions=task.partitions,
        first=True,
        frozen=True,
        ablation=True,
    )
    ranks, users = _ranks(lists), lists.timeline.users[lists.targets]
    report = _report("retailrocket", lists, ranks, task.seed)
    report.protocol += FIRST
    frozen = _rows({n: r for n, r in ranks.items() if n.endswith("_frozen")}, users, task.seed)
    report.slices["counters frozen at the cut"] = frozen
    report.results += frozen
    parts = {name: r for name, r in ranks.items() if name.startswith("without ")}
    report.ablation = _rows(parts, users, task.seed)
    report.facts["worth"] = {
        name.removeprefix("without "): _worth(ranks[HARK], without, users, task.seed)
        for name, without in parts.items()
    }
    return report


def own_events(task: Task, show: Show) -> Report:
    """The same on a file that Hark knows nothing about but which column is what."""
    source = load(task.file, "auto", task.mapping, task.how)
    warn_of(source)
    source = within_reach(source, Contract().oldest_ms)
    training = _recipe(source, task.seed)
    lists = ask_the_future(source, settled(source), training, show, partitions=task.partitions)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", task.file.name.split(".")[0]) or "events"
    return _report(name, lists, _ranks(lists), task.seed)


def within_reach(source: Source, oldest_ms: int) -> Source:
    """The same events by a later clock, whole weeks later, where theirs begins too early.

    A file that counts its events from 0 would be refused as one from 1970.
    """
    first_ms = int(source.events["time_ms"].min() or 0)  # type: ignore[arg-type]
    weeks = max(0, -(-(oldest_ms - first_ms) // WEEK_MS))
    if not weeks:
        return source
    return replace(source, events=source.events.with_columns(pl.col("time_ms") + weeks * WEEK_MS))


def settled(source: Source) -> Settings:
    """The worker's settings for events that span years: what goes together is kept as long."""
    settings = load_settings()
    times_ms = source.events["time_ms"]
    span_days = (int(times_ms.max() or 0) - int(times_ms.min() or 0)) // DAY_MS  # type: ignore[arg-type]
    days = max(settings.state.covisit_days, span_days)
    state = settings.state.model_copy(update={"covisit_days": days})
    return settings.model_copy(update={"state": state})


def _recipe(source: Source, seed: int) -> recipe.Recipe:
    """How to train, by the size of the log; long enough, but not for ever."""
    events = source.events
    seconds = min(max(SECONDS_PER_EVENT * len(events), LEAST_SECONDS), MOST_SECONDS)
    items = events[ITEM].n_unique() if ITEM in events.columns else 0
    return recipe.choose(len(events), items, seed=seed, max_seconds=seconds)


def _ranks(lists: Lists) -> dict[str, Ints]:
    """Ranks of every method, popularity with the decay that was best before the cut."""
    timeline, targets = lists.timeline, lists.targets
    past = np.flatnonzero(timeline.targets[: timeline.cut])
    name = baselines.best_tau(timeline, past[len(past) * 9 // 10 :])
    tau_s = baselines.TAUS_S[name]
    lists.facts["popularity_decay"] = name
    ranks = lists.judge.ranks | {"popularity": baselines.ranks(timeline, targets, tau_s)}
    if lists.judge.frozen:
        once = baselines.ranks(timeline, targets, tau_s, until=timeline.cut)
        ranks["popularity_frozen"] = once
    return ranks


def _report(name: str, lists: Lists, ranks: dict[str, Ints], seed: int) -> Report:
    timeline, targets = lists.timeline, lists.targets
    users = timeline.users[targets]
    main = {method: ranks[method] for method in METHODS}
    report = Report(name, PROTOCOL, _rows(main, users, seed))
    for part, rows in _slices(lists).items():
        if rows.any():
            chosen = {method: found[rows] for method, found in main.items()}
            report.slices[part] = _rows(chosen, users[rows], seed)
    report.facts |= _facts(lists) | {
        "better_than": {
            method: _worth(ranks[HARK], ranks[method], users, seed) for method in METHODS[1:]
        }
    }
    return report


def _rows(ranks: dict[str, Ints], users: Ints, seed: int) -> list[Row]:
    found = intervals.rankings(ranks, users, seed)
    return [Row(method, figures) for method, figures in found.items()]


def _worth(ours: Ints, theirs: Ints, users: Ints, seed: int) -> dict[str, Any]:
    """The paired difference of hit rate and NDCG at 10: above 0 throughout means better."""
    pairs = {"hr_at_10": metrics.hits, "ndcg_at_10": metrics.gains}
    return {
        name: str(intervals.difference(gain(ours, 10), gain(theirs, 10), users, seed))
        for name, gain in pairs.items()
    }


def _slices(lists: Lists) -> dict[str, Bools]:
    """Parts of the targets, bool (n,) each."""
    timeline, targets = lists.timeline, lists.targets
    items, users = timeline.items[targets], timeline.users[targets]
    trained = np.isin(items, timeline.items[: timeline.cut])
    first = np.full(int(timeline.items.max()) + 1, len(timeline))
    seen = timeline.items >= 0
    np.minimum.at(first, timeline.items[seen], np.flatnonzero(seen))
    return {
        "items never seen in training": ~trained,
        "items never seen in training, but in the stream before": ~trained
        & (first[items] <= timeline.asked_at[targets]),
        "own items": lists.judge.own,
        "other items": ~lists.judge.own,
        "users never seen in training": ~np.isin(users, timeline.users[: timeline.cut]),
    }


def _facts(lists: Lists) -> dict[str, Any]:
    timeline, targets, judge = lists.timeline, lists.targets, lists.judge
    model = judge.bound.model
    asked = timeline.asked_at[targets] >= 0
    return {
        "events": len(timeline),
        "training_events": timeline.cut,
        "test_from_s": int(timeline.times_s[timeline.cut]),
        "targets": len(targets),
        "targets_nobody_could_be_asked_about": int((~asked).sum()),
        "users": len(np.unique(timeline.users)),
        "items": int(timeline.items.max()) + 1,
        "target_among_candidates": float((judge.proposed > 0).mean()),
        "proposed_by": {s.name.lower(): float((judge.proposed == s).mean()) for s in From if s},
        "slices": {name: int(rows.sum()) for name, rows in _slices(lists).items()},
        "ranker": model.ranker.to_json() if model.ranker else None,
        "ranking_before_the_cut": lists.ranking.report,
        "curve": [{"epoch": e.number, "mrr": e.mrr} for e in lists.trained.fitted.curve],
        "missed": int((judge.ranks.get(HARK, np.empty(0)) == metrics.MISSING).sum()),
        **lists.facts,
    }
