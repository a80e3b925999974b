"""The counts that the worker reports to its metrics, as plain records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """Counts of one record batch, for `Metrics.observe_batch`.

    `records = accepted + duplicates + sum(dead_letters.values())`: every record has one of these
    three outcomes, so `hark_events_total` accounts for the whole log.
    """

    records: int
    accepted: int
    duplicates: int = 0
    dead_letters: Mapping[str, int] = field(default_factory=dict)  # reason -> records
    kinds: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    """uint8 (accepted,): kinds of the accepted events."""
    unknown_names: int = 0
    future: int = 0
    out_of_order: int = 0
    unkeyed: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)  # calls without effect, by name
    left_out: Mapping[str, int] = field(default_factory=dict)  # unreadable fields, by part
    recommend: int = 0
    """Decision points by kind."""
    churn: int = 0
    risk: int = 0
    sent: int = 0
    """Recommendations by outcome; `held` was due too soon after the user's last one."""
    unchanged: int = 0
    held: int = 0
    empty: int = 0

    @staticmethod
    def joined(parts: Sequence[BatchCounts]) -> BatchCounts:
        """The counts of a batch, from those of its consecutive pieces."""
        added = {
            each.name: sum(getattr(part, each.name) for part in parts)
            for each in fields(BatchCounts)
            if each.name not in ("dead_letters", "kinds", "ignored", "left_out")
        }
        by_name: dict[str, Any] = {
            name: sum((Counter(getattr(part, name)) for part in parts), Counter())
            for name in ("dead_letters", "ignored", "left_out")
        }
        kinds = np.concatenate([part.kinds for part in parts])
        return BatchCounts(**added, **by_name, kinds=kinds)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far behind a partition is: records, seconds of broker time, and committed offset."""

    records: int
    seconds: float
    committed: int
