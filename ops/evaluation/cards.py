"""Card precision: of the cards that an analyst could look at each day, how many were stolen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TOP = 100

Ints = npt.NDArray[np.int64]


def card_precision(
    scores: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    cards: Ints,
    days: Ints,
    rows: Ints | None = None,
    top: int = TOP,
) -> float:
    """Mean over the days of the share of compromised cards among the `top` most suspect ones.

    A card's score is its most suspect payment's of the day, and a compromised card that was
    found is gone from the next day on.

    Parameters
    ----------
    scores, labels, cards, days
        (n,): the payments.
    rows
        Payments drawn, in a bootstrap; a payment drawn twice stands for two cards.

    References
    ----------
    Fraud Detection Handbook, "Card Precision top-k".
    """
    drawn = np.ones(len(scores)) if rows is None else np.bincount(rows, minlength=len(scores))
    shares, found = [], np.empty(0, np.int64)
    for day in np.unique(days):
        asked = np.flatnonzero((days == day) & (drawn > 0) & ~np.isin(cards, found))
        card, place = np.unique(cards[asked], return_inverse=True)
        best = np.full(len(card), -np.inf)
        np.maximum.at(best, place, scores[asked])
        stolen = np.zeros(len(card), np.bool_)
        np.logical_or.at(stolen, place, labels[asked])
        copies = np.zeros(len(card))
        np.maximum.at(copies, place, drawn[asked])
        order = np.argsort(-best, kind="stable")
        room = top - (np.cumsum(copies[order]) - copies[order])
        taken = np.clip(room, 0, copies[order])
        shares.append(float((taken * stolen[order]).sum()) / top)
        found = np.append(found, card[order][(taken > 0) & stolen[order]])
    return float(np.mean(shares)) if shares else 0.0
