"""What is popular at the moment: the simplest recommendation, and one that is hard to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.corpus import Corpus

TAU_S = 7 * 86_400
"""Seconds after which an event has lost all but 1/e of its weight."""

Ints = npt.NDArray[np.int64]


def ranks(corpus: Corpus, events: Ints, targets: Ints, *, tau_s: float = TAU_S) -> Ints:
    """Place of each target among all items by decayed popularity, exact and up to date.

    Parameters
    ----------
    events
        int64 (Q,): index of the event at which each question is asked; its item is left out.
    targets
        int64 (Q,): item row of each answer.

    Returns
    -------
    Ints
        int64 (Q,): from 1; ties are shared fairly, at their mean.
    """
    items = np.flatnonzero(corpus.item_rows > 0)
    items = items[np.argsort(corpus.times_s[items], kind="stable")]
    rows, times_s = corpus.item_rows[items], corpus.times_s[items]
    counts = np.zeros(int(corpus.item_rows.max(initial=0)) + 1)
    places = np.zeros(len(events), np.int64)
    done, clock_s = 0, 0
    for question in np.argsort(corpus.times_s[events], kind="stable").tolist():
        now_s = int(corpus.times_s[events[question]])
        until = int(np.searchsorted(times_s, now_s, side="right"))
        fresh = slice(done, until)
        counts *= np.exp((clock_s - now_s) / tau_s)
        ages_s = now_s - times_s[fresh]
        counts += np.bincount(rows[fresh], np.exp(-ages_s / tau_s), len(counts))
        done, clock_s = until, now_s
        current, target = corpus.item_rows[events[question]], targets[question]
        others = np.delete(counts, [0, current, target])
        ahead = (others > counts[target]).sum() + (others == counts[target]).sum() // 2
        places[question] = ahead + 1
    return places
