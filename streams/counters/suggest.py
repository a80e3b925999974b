"""Candidates without a model: own recent items, what is co-visited with them, what is popular.

Co-visitation at query time follows RECIPES: the last 10 distinct items, newest first, weigh
``.7 ** rank``; a neighbour's weight is divided by the source's visits to the .5 and its own to
the .25, so that neither busy sources nor busy neighbours drown the rest.

The last `LEADERS` places of a list are kept for what is popular and hot and not among the best.
Of the user's own items only the `OWN` newest are candidates.

The counters lag by a block, but what the user did before is known exactly: the pairs of the
user's own window count like one more block that is always there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from streams.counters.item_view import Part
from streams.counters.suggestions import Suggestions
from streams.counters.votes import LEADERS, OWN, vote

__all__ = ["LEADERS", "OWN", "suggest"]


def suggest(windows: Windows, rows: npt.NDArray[np.int64], part: Part, out: Suggestions) -> None:
    """Fill `out` at `rows` with the best candidates that the counters of `part` know.

    The item of the triggering event itself is not suggested: the user is looking at it. Among
    equal scores the item known longer comes first.

    Parameters
    ----------
    windows, out
        Of the same D decision points; `out` is empty at `rows`.
    """
    vote(
        rows,
        (windows.items, windows.kinds, windows.lengths),
        part,
        (out.items, out.scores, out.sources, out.actions),
        (out.near, out.next_to, out.ahead, out.next_ahead),
        (out.popular, out.hot, out.usual),
    )
