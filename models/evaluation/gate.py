"""The gate: whether a challenger may answer instead of the champion.

Both answer the same questions of a part of the log that neither learnt from. The challenger must
not be worse by more than a margin, whatever chance may have done: the bound of an interval counts
and not the value. Against the simple baselines the value counts: they are what would answer
instead, and a small log could never show more. A check that can't be measured neither passes nor
fails, but nothing is promoted unless something was measured.

References
----------
Non-inferiority by a confidence bound: D'Agostino et al., Statistics in Medicine 22, 2003.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation import metrics
from models.evaluation.intervals import Figure, difference, mean, resampled
from models.evaluation.metrics import gains, hits

CHALLENGER, CHAMPION = "challenger", "champion"
MIN_QUESTIONS = 50
"""Fewer answered questions say nothing about lists."""
MIN_LABELS = 20
"""Fewer points of either class say nothing about a head."""
FLOOR = 0.005
"""A margin is never smaller: a tenth of nearly nothing is nothing."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much worse is still not worse.

    Attributes
    ----------
    ranking, precision
        Of NDCG@10 and HR@10, and of the average precision: a share of the champion's.
    ece
        Of the expected calibration error, absolute.
    latency_ms
        p99 of a batch of 256 decisions, CPU time.
    parity
        Largest difference between the exported graph and the network.
    """

    ranking: float = 0.1
    precision: float = 0.1
    ece: float = 0.02
    latency_ms: float = 1_000.0
    parity: float = 1e-4


@dataclass(frozen=True, slots=True)
class Lists:
    """What several methods made of the same Q questions.

    Attributes
    ----------
    ranks
        Method -> int64 (Q,): place of what the user went to, `metrics.MISSING` if not listed.
        Beside the challenger and, if there is one, the champion: the simple baselines.
    users
        int64 (Q,).
    """

    ranks: Mapping[str, Ints]
    users: Ints


@dataclass(frozen=True, slots=True)
class HeadAnswers:
    """What both versions said at n points whose truth is known by now.

    Attributes
    ----------
    name
        "churn" or "risk".
    labels
        bool (n,).
    users
        int64 (n,).
    probabilities
        Version's role -> calibrated (n,); a role that doesn't ship the head is missing.
    shipped
        Version's role -> which part answers: "network", "trees" or "stack".
    """

    name: str
    labels: Bools
    users: Ints
    probabilities: Mapping[str, Floats]
    shipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the gate looks at."""

    lists: Lists
    heads: Sequence[HeadAnswers]
    parity: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the decision.

    Attributes
    ----------
    passed
        None where it couldn't be measured.
    limit
        The bound that counts must be on the right side of it; None for a figure that only informs.
    quality
        Whether it says how good the answers are.
    """

    name: str
    passed: bool | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    why: str = ""
    quality: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to promote, in one line and in numbers."""

    promote: bool
    why: str
    checks: list[Check]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `decision.json`."""
        return {
            "promote": self.promote,
            "why": self.why,
            "checks": [asdict(check) for check in self.checks],
        }


def decide(evidence: Evidence, limits: Limits) -> Decision:
    """Look at everything, then promote if nothing failed and something was measured."""
    checks = [
        *_lists(evidence.lists, limits),
        *(check for head in evidence.heads for check in _head(head, limits)),
        _at_most("parity of the export", evidence.parity, limits.parity),
        _at_most("p99 of 256 decisions, CPU ms", evidence.latency_ms, limits.latency_ms),
    ]
    failed = [check.why or check.name for check in checks if check.passed is False]
    measured = any(check.quality and check.passed for check in checks)
    if failed:
        why = "; ".join(failed)
    elif not measured:
        why = "too few answered questions and labels in the window to judge it by"
    elif CHAMPION in evidence.lists.ranks or any(CHAMPION in h.shipped for h in evidence.heads):
        why = "no worse than the champion"
    else:
        why = "better than the simple methods"
    return Decision(measured and not failed, why, checks)


def _lists(lists: Lists, limits: Limits) -> Iterator[Check]:
    count = len(lists.users)
    if count < MIN_QUESTIONS:
        yield Check("lists", None, why=f"{count} answered questions; {MIN_QUESTIONS} are needed")
        return
    ours = {
        "NDCG@10": gains(lists.ranks[CHALLENGER], 10),
        "HR@10": hits(lists.ranks[CHALLENGER], 10),
    }
    for name, values in ours.items():
        yield _figure(name, mean(values, lists.users))
    for method, ranks in lists.ranks.items():
        if method not in (CHALLENGER, CHAMPION):
            over = difference(ours["NDCG@10"], gains(ranks, 10), lists.users)
            better = over.value > 0
            why = "" if better else f"{method} has the better NDCG@10, by {-over.value:.4f}"
            yield _measured(f"NDCG@10 over {method}", over, 0.0, better, why)
    if CHAMPION in lists.ranks:
        theirs = {
            "NDCG@10": gains(lists.ranks[CHAMPION], 10),
            "HR@10": hits(lists.ranks[CHAMPION], 10),
        }
        for name, values in ours.items():
            margin = _margin(float(theirs[name].mean()), limits.ranking)
            yield _no_worse(name, difference(values, theirs[name], lists.users), margin)


def _head(head: HeadAnswers, limits: Limits) -> Iterator[Check]:
    name, theirs = head.name, head.probabilities.get(CHAMPION)
    ours = head.probabilities.get(CHALLENGER)
    if ours is None:
        if CHAMPION in head.shipped:
            why = f"the champion answers {name} and this version doesn't"
            yield Check(f"{name} is shipped", False, why=why)
        return
    few = int(min(head.labels.sum(), (~head.labels).sum()))
    part = head.shipped[CHALLENGER]
    if few < MIN_LABELS:
        why = f"{few} points of the rarer class in the window; {MIN_LABELS} are needed"
        yield Check(f"{name} by {part}", None, why=why)
        return
    precision = resampled(lambda rows: _precision(ours[rows], head.labels[rows]), head.users)
    if theirs is None:
        base = float(head.labels.mean())
        better = precision.low > base
        why = "" if better else f"{name} by {part} isn't surely better than guessing"
        yield _measured(f"{name} by {part}, AP", precision, base, better, why)
        yield _figure(f"{name} by {part}, ECE", _ece(ours, head))
        return
    yield _figure(f"{name} by {part}, AP", precision)
    margin = _margin(_precision(theirs, head.labels), limits.precision)
    gap = resampled(
        lambda rows: (
            _precision(ours[rows], head.labels[rows]) - _precision(theirs[rows], head.labels[rows])
        ),
        head.users,
    )
    yield _no_worse(f"{name} AP", gap, margin)
    error, before = _ece(ours, head), metrics.ece(theirs, head.labels)
    fits = error.value <= before + limits.ece
    why = "" if fits else f"{name} ECE {error.value:.4f} is worse than the champion's {before:.4f}"
    yield _measured(f"{name} by {part}, ECE", error, before + limits.ece, fits, why)


def _no_worse(name: str, gap: Figure, margin: float) -> Check:
    passed = gap.low >= -margin
    why = "" if passed else f"{name} may be worse than the champion's by {-gap.low:.4f}"
    return _measured(f"{name} over champion", gap, -margin, passed, why)


def _margin(champions: float, share: float) -> float:
    return max(FLOOR, share * champions)


def _at_most(name: str, value: float, limit: float) -> Check:
    passed = value <= limit
    why = "" if passed else f"{name}: {value:.4g}, at most {limit:g}"
    return Check(name, passed, value, limit=limit, why=why)


def _measured(name: str, figure: Figure, limit: float, passed: bool, why: str) -> Check:
    return Check(name, passed, figure.value, figure.low, figure.high, limit, why, quality=True)


def _figure(name: str, figure: Figure) -> Check:
    """A figure that is told and not judged."""
    return Check(name, None, figure.value, figure.low, figure.high)


def _precision(probabilities: Floats, labels: Bools) -> float:
    found = metrics.average_precision(probabilities, labels)
    return 0.0 if found is None else found  # a resample without both classes: it cancels out


def _ece(probabilities: Floats, head: HeadAnswers) -> Figure:
    return resampled(lambda rows: metrics.ece(probabilities[rows], head.labels[rows]), head.users)
