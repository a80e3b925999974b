"""Item counters as a kernel reads them, of one partition or of several partitions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.histories.item_table import NO_ITEM

Items = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Part(NamedTuple):
    """The counters of some items as a kernel reads them: R rows, K neighbours.

    Attributes
    ----------
    row_of
        int32 (items,): item's number in the partition -> row, -1 = none; a number beyond the end
        has no row either.
    popularity, hot, visits
        float32 (R,): the item's events, decayed over days, hours and months; unscaled.
    neighbours
        int32 (R, K): numbers of the co-visited items.
    weights
        float32 (R, K): weights of the neighbours, unscaled; 0 = no neighbour.
    forward
        float32 (R, K): the part of `weights` from events in which the neighbour came after the
        item.
    leaders, hottest
        int32 (m,): items with the highest `popularity`, and with the highest `hot`, best first.
    popularity_scale, hot_scale, visit_scale
        float32: factors that decay the unscaled numbers to the present; `visit_scale` is for
        `visits`, `weights` and `forward`.
    """

    row_of: Items
    popularity: Floats
    hot: Floats
    visits: Floats
    neighbours: Items
    weights: Floats
    forward: Floats
    leaders: Items
    hottest: Items
    popularity_scale: np.float32
    hot_scale: np.float32
    visit_scale: np.float32

    def by_index(self, indices: Items) -> Part:
        """The same counters by index in the worker's item table, which partitions share.

        Parameters
        ----------
        indices
            int32: index by number, -1 at the end (`ItemNumbers.all_indices`).
        """
        known = np.flatnonzero(self.row_of >= 0)
        row_of = np.full(max(int(indices.max(initial=0)) + 2, 1), -1, np.int32)
        row_of[indices[known]] = self.row_of[known]
        row_of[-1] = -1  # items for which the table has no room
        return self._replace(
            row_of=row_of,
            neighbours=indices[self.neighbours],
            leaders=indices[self.leaders],
            hottest=indices[self.hottest],
        )


def merged(parts: Sequence[Part]) -> Part:
    """Merge parts: counters are added, neighbours are put side by side.

    Parts of several partitions must be `by_index`.
    """
    if len(parts) == 1:
        return parts[0]
    known = [np.flatnonzero(part.row_of >= 0) for part in parts]
    items = np.unique(np.concatenate(known))
    row_of = np.full(max(len(part.row_of) for part in parts), -1, np.int32)
    row_of[items] = np.arange(len(items))
    popularity, hot, visits = np.zeros((3, len(items)), np.float32)
    width = parts[0].weights.shape[1]
    neighbours = np.full((len(items), width * len(parts)), NO_ITEM, np.int32)
    weights, forward = np.zeros((2, *neighbours.shape), np.float32)
    for number, (part, part_items) in enumerate(zip(parts, known, strict=True)):
        to, at = row_of[part_items], part.row_of[part_items]
        popularity[to] += part.popularity[at] * part.popularity_scale
        hot[to] += part.hot[at] * part.hot_scale
        visits[to] += part.visits[at] * part.visit_scale
        here = slice(number * width, (number + 1) * width)
        neighbours[to, here] = part.neighbours[at]
        weights[to, here] = part.weights[at] * part.visit_scale
        forward[to, here] = part.forward[at] * part.visit_scale
    leaders, hottest = (
        known[np.argsort(-counts[row_of[known]], kind="stable")]
        for counts, known in (
            (popularity, np.unique(np.concatenate([part.leaders for part in parts]))),
            (hot, np.unique(np.concatenate([part.hottest for part in parts]))),
        )
    )
    scale = np.float32(1)
    columns = popularity, hot, visits, neighbours, weights, forward
    return Part(row_of, *columns, leaders, hottest, scale, scale, scale)
