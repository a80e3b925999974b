"""Labels of decision points: churn by silence, risk by label events.

Labels are int8: 1 yes, 0 no, -1 unknown (`UNKNOWN`); unknown points neither train nor validate.
A point whose horizon runs past the log's end is unknown even when its user was seen again:
otherwise only the quiet users' points would be unknown, and the labels would be biased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.training.corpus import Corpus, Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """Which questions of a corpus train and which validate.

    Attributes
    ----------
    target_rows
        int64 (n,): next distinct item at each event, 0 where there is none.
    train_items, validation_items
        bool (n,): split by the time of the target event.
    train_churn, validation_churn, train_risk, validation_risk
        bool (P,) over the corpus' points.
    """

    target_rows: Ints
    train_items: Bools
    validation_items: Bools
    train_churn: Bools
    validation_churn: Bools
    train_risk: Bools
    validation_risk: Bools


def split_items(corpus: Corpus, cut_s: int) -> tuple[Ints, Bools, Bools]:
    """Targets int64 (n,), which of them train (before `cut_s`) and which validate, bool (n,)."""
    n = len(corpus)
    following = corpus.following()
    known = following < n
    at = np.minimum(following, max(n - 1, 0))
    rows = np.where(known, corpus.item_rows[at], 0)
    late = corpus.times_s[at] >= cut_s
    return rows, known & ~late, known & late


UNKNOWN = -1
DAY_S = 86_400

Labels = npt.NDArray[np.int8]
Times = npt.NDArray[np.int64]


def churn_horizon_s(span_s: int) -> int:
    """Default horizon of silence in s: a sixth of the log's span, between 1 and 90 days.

    A sixth leaves room for training and validation parts that lie a horizon apart.
    """
    days = round(span_s / 6 / DAY_S)
    return DAY_S * min(max(days, 1), 90)


def churn(
    point_users: npt.NDArray[np.int64],
    point_times: Times,
    event_users: npt.NDArray[np.int64],
    event_times: Times,
    *,
    horizon_s: int,
    log_end_s: int,
) -> Labels:
    """Label a point 1 where its user did nothing for `horizon_s` after it.

    Parameters
    ----------
    point_users, point_times
        int64 (P,): dense user number; event time in s.
    event_users, event_times
        int64 (n,): users and times in s of the events that count as activity.
    log_end_s
        Newest event time of the whole log.

    Returns
    -------
    Labels
        int8 (P,).
    """
    order = np.lexsort((event_times, event_users))
    users, times = event_users[order], event_times[order]
    # One sorted key over (user, time) finds each point's next event by bisection.
    base = int(min(times.min(initial=0), point_times.min(initial=0)))
    width = int(max(times.max(initial=0), point_times.max(initial=0))) - base + 2
    keys = users * width + (times - base)
    after = np.searchsorted(keys, point_users * width + (point_times - base), side="right")
    found = after < len(keys)
    following = np.minimum(after, max(len(keys) - 1, 0))
    seen = np.zeros(len(point_users), dtype=bool)
    if len(keys):
        near = times[following] - point_times <= horizon_s
        seen = found & (users[following] == point_users) & near
    labels = np.where(seen, 0, 1).astype(np.int8)
    labels[point_times + horizon_s > log_end_s] = UNKNOWN
    return labels


def risk(
    point_messages: npt.NDArray[np.uint64],
    point_times: Times,
    confirmed: npt.NDArray[np.uint64],
    *,
    label_delay_s: int,
    log_end_s: int,
) -> Labels:
    """Label a point 1 where a label event confirmed its event, 0 where none did in time.

    Parameters
    ----------
    point_messages
        uint64 (P,): message hash of the watched event.
    confirmed
        uint64 (m,): references of all label events.
    label_delay_s
        Points younger than this at the log's end and unconfirmed are unknown.

    Returns
    -------
    Labels
        int8 (P,).
    """
    hit = np.isin(point_messages, confirmed)
    young = point_times + label_delay_s > log_end_s
    return np.where(hit, 1, np.where(young, UNKNOWN, 0)).astype(np.int8)


def split(
    times: Times, labels: Labels, *, gap_s: int, validation_share: float = 0.25
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Split the labelled points in time, with a purged gap between training and validation.

    A training label must be known when validation starts, so its point lies at least `gap_s`
    (horizon or label delay) before. In a short log the gap shrinks so far that the older half of
    the points stays in training.

    Returns
    -------
    tuple
        bool (P,), bool (P,).
    """
    known = labels != UNKNOWN
    if not known.any():
        return known, known
    start = np.quantile(times[known], 1 - validation_share)
    validation = known & (times >= start)
    older_half = np.quantile(times[known], (1 - validation_share) / 2)
    limit = max(start - gap_s, older_half)
    return known & (times < min(limit, start)), validation
