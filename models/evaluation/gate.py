"""The gate: whether a challenger may answer instead of the champion.

Both answer the same questions, from a part of the log that neither has learnt from. The challenger
must not be worse by more than a margin, chance included: the bound of an interval counts, not the
value. Against the simple baselines the value counts: they would answer otherwise, and a small log
could never show more. A check that can't be measured neither passes nor fails, but the gate
promotes nothing unless it measured something.

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
"""With fewer answered questions, lists aren't judged."""
MIN_LABELS = 20
"""With fewer points of either class, a head isn't judged."""
FLOOR = 0.005
"""Smallest margin: a share of a champion's figure near 0 would allow no difference at all."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much worse than the champion a challenger may be.

    Attributes
    ----------
    ranking, precision
        Loss of NDCG@10 and HR@10, and of average precision, as a share of the champion's value.
    ece
        Absolute increase of the expected calibration error.
    latency_ms
        Largest p99 of CPU time for a batch of 256 decisions.
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
    """The ranks that several methods gave the answers of the same Q questions.

    Attributes
    ----------
    ranks
        Method -> int64 (Q,): place of the item that the user went to, `metrics.MISSING` if the
        list lacks it. Methods are the challenger, the champion if there is one, and baselines.
    users
        int64 (Q,).
    """

    ranks: Mapping[str, Ints]
    users: Ints


@dataclass(frozen=True, slots=True)
class HeadAnswers:
    """Both versions' probabilities at n points with known labels.

    Attributes
    ----------
    name
        "churn" or "risk".
    labels
        bool (n,).
    users
        int64 (n,).
    probabilities
        Role -> calibrated probabilities (n,); a role that doesn't ship the head is missing.
    shipped
        Role -> the part that answers: "network", "trees" or "stack".
    """

    name: str
    labels: Bools
    users: Ints
    probabilities: Mapping[str, Floats]
    shipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the gate looks at.

    Attributes
    ----------
    parity
        Largest difference between the exported graph and the network.
    latency_ms
        p99 of CPU time for a batch of 256 decisions.
    """

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
        None where the check couldn't be measured.
    value, low, high
        The figure and its 95% interval.
    limit
        Limit of the value or of a bound; None for a figure that isn't judged.
    why
        Reason for a failure, or for not measuring.
    quality
        Whether the check is about the quality of the answers.
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
    """Run every check; promote if none failed and a check of quality passed."""
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
        why = "too few answered questions and labels in the window to judge the version"
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
    """A figure that is reported, not judged."""
    return Check(name, None, figure.value, figure.low, figure.high)


def _precision(probabilities: Floats, labels: Bools) -> float:
    found = metrics.average_precision(probabilities, labels)
    return 0.0 if found is None else found  # a resample with one class: both versions get 0


def _ece(probabilities: Floats, head: HeadAnswers) -> Figure:
    return resampled(lambda rows: metrics.ece(probabilities[rows], head.labels[rows]), head.users)
