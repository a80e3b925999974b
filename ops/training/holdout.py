"""The newest part of a log, kept from training to judge what was trained.

A question belongs to the part if it is asked in it. A label belongs to it if it became known in it:
whether a user is gone shows a horizon later, so the training part has only what was known before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.training.corpus import Corpus
from models.training.labels import UNKNOWN
from ops.training.questions import Asked
from ops.training.samples import Samples
from schemas.errors import ConfigError

Ints = npt.NDArray[np.int64]
MAX_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Holdout:
    """A log, divided at `cut_s`.

    Attributes
    ----------
    training
        As if the log had ended there, questions too.
    samples
        The whole log.
    asked
        Questions of the newest part, None if there is none.
    churn, risk
        int64: points whose label became known in it, `MAX_ROWS` of them at most.
    """

    cut_s: int
    training: Samples
    training_asked: Asked | None
    samples: Samples
    asked: Asked | None
    churn: Ints
    risk: Ints


def divide(samples: Samples, asked: Asked | None, share: float, seed: int = 0) -> Holdout:
    """Keep the newest `share` of the events from training.

    Raises
    ------
    ConfigError
        Nothing is left to learn from.
    """
    corpus = samples.corpus
    cut_s = int(np.quantile(corpus.times_s, 1 - share, method="lower"))
    training, points = _before(samples, cut_s)
    if not len(training.corpus):
        raise ConfigError("all events have the same time: nothing to learn from and be judged by")
    times_s = corpus.times_s[corpus.points.event]
    rng = np.random.default_rng(seed)
    early, late = None, None
    if asked is not None:
        at_s = times_s[asked.points]
        number = np.full(len(times_s), -1, dtype=np.int64)
        number[points] = np.arange(len(points))
        early = asked.take(np.flatnonzero(at_s < cut_s))
        early = replace(early, points=number[early.points])
        late = asked.take(np.flatnonzero(at_s >= cut_s))
    churn_at_s, risk_at_s = _known_at_s(samples)
    return Holdout(
        cut_s=cut_s,
        training=training,
        training_asked=early,
        samples=samples,
        asked=late,
        churn=_some((corpus.points.churn != UNKNOWN) & (churn_at_s > cut_s), rng),
        risk=_some((corpus.points.risk != UNKNOWN) & (risk_at_s > cut_s), rng),
    )


def _before(samples: Samples, cut_s: int) -> tuple[Samples, Ints]:
    """The samples of the log up to `cut_s`, and which points they keep."""
    corpus, points = samples.corpus.as_of(cut_s)
    churn_at_s, risk_at_s = (known[points] for known in _known_at_s(samples))
    # A risk confirmed early is known early, but to keep only those would teach that all young
    # payments are bad.
    labelled = replace(
        corpus.points,
        churn=np.where(churn_at_s <= cut_s, corpus.points.churn, UNKNOWN).astype(np.int8),
        risk=np.where(risk_at_s <= cut_s, corpus.points.risk, UNKNOWN).astype(np.int8),
    )
    found, rows = np.unique(corpus.item_rows, return_inverse=True)
    items = found[found > 0]
    if len(items) == len(found):  # every event has an item: there is no row 0 to keep
        rows = rows + 1
    return (
        replace(
            samples,
            corpus=replace(corpus, item_rows=rows.astype(np.int64), points=labelled),
            item_index=samples.item_index[items - 1],
            places=samples.places[points],
            numbers=samples.numbers[points],
            log_end_s=cut_s,
        ),
        points,
    )


def _known_at_s(samples: Samples) -> tuple[Ints, Ints]:
    """When each point's churn and risk label is complete, (P,) each."""
    times_s = _times_s(samples.corpus)
    return times_s + samples.horizon_s, times_s + samples.label_delay_s


def _times_s(corpus: Corpus) -> Ints:
    return corpus.times_s[corpus.points.event]


def _some(rows: npt.NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    return np.sort(rng.permutation(np.flatnonzero(rows))[:MAX_ROWS])
