"""Events of the block that isn't over yet, reduced to what the counters need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.events.columns import EventColumns
from schemas.events.kinds import N_KINDS, Kind
from streams.counters.label_queue import Payments, with_width
from streams.histories.histories import Applied

USUAL_RATIO = 2.0  # an amount up to twice the user's mean is ordinary

_INTEREST = np.zeros(N_KINDS, np.bool_)
_INTEREST[[Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.SEARCH, Kind.RATE, Kind.OTHER]] = True

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pending:
    """What the counters need of some events of a block, in log order.

    Attributes
    ----------
    clock_s
        Newest time of these events, epoch seconds.
    items, before, item_times_s
        int32 (a,), int32 (a, B), int64 (a,): the events that show interest in an item; items by
        number, the items of the user's preceding events, event times.
    payments, amounts
        The watched events (w,) that name an entity, and their amounts, float32 (w,).
    references, label_times_s, label_users
        uint64 (l,), int64 (l,), l user ids ("" = forgotten): the label events.
    """

    clock_s: int
    items: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]
    item_times_s: Ints
    payments: Payments
    amounts: npt.NDArray[np.float32]
    references: npt.NDArray[np.uint64]
    label_times_s: Ints
    label_users: list[str]

    def without(self, user_id: str) -> Pending:
        """The same events without the user's id."""
        users = ["" if user == user_id else user for user in self.label_users]
        return replace(self, label_users=users)

    def with_entities(self, width: int) -> Pending:
        """The same events, with the first `width` entities of each payment."""
        if self.payments.entities.shape[1] == width:
            return self
        entities = with_width(self.payments.entities, width)
        return replace(self, payments=replace(self.payments, entities=entities))

    @staticmethod
    def split(
        columns: EventColumns, applied: Applied, starts: Ints, watched: Bools
    ) -> list[Pending | None]:
        """Split a batch's accepted events by block.

        Parameters
        ----------
        columns, applied
            The batch and the histories' results.
        starts
            int64 (b,): rows at which blocks begin.
        watched
            bool (kinds,): kinds whose events the entity counters count.

        Returns
        -------
        list
            b entries, None for a block without accepted events.
        """
        ends = np.append(starts[1:], len(columns))
        accepted, kinds = applied.accepted, columns.kinds
        times_s = np.maximum(columns.time_ms // 1000, 0)
        newest = np.maximum.reduceat(np.where(accepted, times_s, -1), starts).tolist()
        picked = [
            np.flatnonzero(accepted & (applied.items >= 0) & _INTEREST[kinds]),
            np.flatnonzero(accepted & watched[kinds] & (columns.entities != 0).any(axis=1)),
            np.flatnonzero(accepted & (kinds == Kind.LABEL)),
        ]
        cuts = [np.searchsorted(rows, [starts, ends]).T.tolist() for rows in picked]
        interest, paid, labels = picked
        items, before, item_times_s = (
            applied.numbers[interest], applied.before[interest], times_s[interest],
        )  # fmt: skip
        payments = Payments(
            messages=columns.message_hashes[paid],
            entities=columns.entities[paid],
            times_s=times_s[paid],
            usual=applied.ratios[paid] <= USUAL_RATIO,
            labelled=np.zeros(len(paid), np.bool_),
        )
        amounts = columns.amounts[paid]
        references, label_times_s = columns.references[labels], times_s[labels]
        users = [columns.user_ids[row] for row in labels.tolist()]
        return [
            None
            if clock_s < 0
            else Pending(
                clock_s=clock_s,
                items=items[a:b],
                before=before[a:b],
                item_times_s=item_times_s[a:b],
                payments=payments.part(c, d),
                amounts=amounts[c:d],
                references=references[e:f],
                label_times_s=label_times_s[e:f],
                label_users=users[e:f],
            )
            for clock_s, (a, b), (c, d), (e, f) in zip(newest, *cuts, strict=True)
        ]
