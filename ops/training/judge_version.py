"""Compare two versions on the newest part of the log, loaded as a worker loads them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from models.evaluation.gate import (
    CHALLENGER,
    CHAMPION,
    Decision,
    Evidence,
    HeadAnswers,
    Limits,
    Lists,
    decide,
)
from models.features import features
from models.features.model_inputs import ModelInputs
from models.registry import registry
from models.registry.registry import Model
from models.storage import artefact
from models.training.corpus import Corpus, at_points
from ops.baselines import popularity_ranks
from ops.training.holdout import Holdout
from ops.training.ranking import answered, rank_questions, ranks_of
from schemas.errors import ArtefactError
from streams.histories.item_table import ItemTable
from streams.serving.bound_model import BoundModel

log = structlog.get_logger(__name__)
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
BATCH = 256
ROUNDS = 30
"""Number of timed batches; the p99 is about the slowest of them."""


def judge(
    root: Path,
    version: str,
    champion: str | None,
    holdout: Holdout,
    items: ItemTable,
    limits: Limits,
) -> Decision:
    """Decide on a stored version.

    Parameters
    ----------
    champion
        The current champion; None, or a version that this code can't load, isn't compared.
    items
        Item table of the rerun, to which the questions' candidates refer.

    Raises
    ------
    ArtefactError
        The version can't be loaded.
    UnreadableError
        The champion can't be read at the moment.
    """
    challenger = registry.load(root, version)
    models = {CHALLENGER: challenger}
    if champion is not None and champion != version:
        try:
            models[CHAMPION] = registry.load(root, champion)
        except artefact.UnreadableError:  # it may be fine, so it must not lose undefended
            raise
        except ArtefactError as error:  # an older format or feature set: no worker can load it
            log.warning("gate.no_champion", why=str(error))
    lists = compare_lists(models, holdout, items)
    heads = [
        compare_heads(models, name, holdout, rows, items)
        for name, rows in (("churn", holdout.churn), ("risk", holdout.risk))
    ]
    parity = float(challenger.manifest["parity"])
    return decide(Evidence(lists, heads, parity, latency_ms(challenger, holdout, items)), limits)


def compare_lists(models: Mapping[str, Model], holdout: Holdout, items: ItemTable) -> Lists:
    """Rank the answers of the same questions by each version and by the simple methods."""
    if holdout.asked is None or not len(holdout.asked.points):
        return Lists({CHALLENGER: np.zeros(0, np.int64)}, np.zeros(0, np.int64))
    asked, targets, users = answered(holdout.samples, holdout.asked, since_s=holdout.cut_s)
    ranks = {role: rank_questions(model, items, asked, targets) for role, model in models.items()}
    corpus, suggested = holdout.samples.corpus, asked.suggestions
    current = asked.windows.items[np.arange(len(users)), asked.windows.lengths - 1][:, None]
    offered = np.where(suggested.items == current, -1, suggested.items)
    rows = np.searchsorted(holdout.samples.item_index, targets) + 1
    ranks["popularity"] = _popularity(corpus, corpus.points.event[asked.points], rows)
    ranks["covisitation"] = ranks_of(offered, suggested.near, targets, positive=True)
    return Lists(ranks, users)


def _popularity(corpus: Corpus, event: Ints, targets: Ints) -> Ints:
    """Place (Q,) of each target row by popularity at the time of the events (Q,)."""
    order = np.flatnonzero(corpus.first_seen)
    order = order[np.argsort(corpus.times_s[order], kind="stable")]
    times_s, rows = corpus.times_s[order], corpus.item_rows
    known = np.searchsorted(times_s, corpus.times_s[event], side="right")
    items = np.where(rows > 0, rows, -1)
    return popularity_ranks(items[order], times_s, known, items[event], targets)


def compare_heads(
    models: Mapping[str, Model], name: str, holdout: Holdout, rows: Ints, items: ItemTable
) -> HeadAnswers:
    """Compute the probabilities of each version that ships the head, at the points `rows`."""
    points = holdout.samples.corpus.points
    labels = points.churn if name == "churn" else points.risk
    ships = {role: model for role, model in models.items() if _shipped(model, name)}
    return HeadAnswers(
        name,
        labels[rows] == 1,
        holdout.samples.corpus.users[points.event[rows]],
        {
            role: _probability(model, name, _inputs(model, holdout, rows, items))
            for role, model in ships.items()
        },
        {role: _shipped(model, name) for role, model in ships.items()},
    )


def latency_ms(model: Model, holdout: Holdout, items: ItemTable) -> float:
    """p99 of the CPU time of a batch of 256 decisions, in ms; other processes don't count."""
    if holdout.asked is not None and len(holdout.asked.points):
        part = holdout.asked.take(np.arange(BATCH) % len(holdout.asked.points))
        bound = BoundModel(model, items)

        def work() -> None:
            inputs = bound.inputs(part.windows, features.compute(part.windows))
            bound.candidates(model.engine.score(inputs), part.suggestions, part.windows)
    else:
        count = len(holdout.samples.corpus.points.event)
        inputs = _inputs(model, holdout, np.arange(BATCH) % count, items)

        def work() -> None:
            model.engine.score(inputs)

    work()
    durations_s = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        durations_s.append(time.process_time() - started)
    return float(np.quantile(durations_s, 0.99)) * 1000


def _inputs(model: Model, holdout: Holdout, rows: Ints, items: ItemTable) -> ModelInputs:
    """Inputs of the points `rows`, with items as rows of the version's own table."""
    samples, row_of = holdout.samples, {name: r + 1 for r, name in enumerate(model.item_ids)}
    known = [row_of.get(items.ids[index], 0) for index in samples.item_index.tolist()]
    own = np.array([0, *known], np.int64)[samples.corpus.item_rows]
    return at_points(replace(samples.corpus, item_rows=own), rows)


def _shipped(model: Model, name: str) -> str:
    """The part that answers, "" if the head isn't shipped."""
    shipped = model.manifest["heads"].get(name, {}).get("shipped")
    return shipped if isinstance(shipped, str) else ("network" if shipped else "")


def _probability(model: Model, name: str, inputs: ModelInputs) -> Floats:
    return model.probability(name, model.engine.score(inputs), inputs.features)
