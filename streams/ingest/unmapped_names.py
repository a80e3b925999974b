"""Event names that aren't mapped to a kind, and how often each came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec

from streams.ingest.decode import BatchDecoder, Decoded
from streams.transport.record_batch import RecordBatch

MAX_NAMES = 1_000
"""Most names kept; a product that puts ids into event names has more."""
_SHOWN, _LENGTH = 8, 60


class _Named(msgspec.Struct, gc=False):
    event: Any = None
    type: Any = "track"


_decode = msgspec.json.Decoder(_Named).decode


class UnmappedNames:
    """Counts events by unmapped name.

    Parameters
    ----------
    mapped
        The names that are mapped to a kind.

    Examples
    --------
    >>> names = UnmappedNames({"Product Viewed"})
    >>> names.see([b'{"event":"view_item"}', b'{"event":"Product Viewed"}'])
    >>> names.counts
    Counter({'view_item': 1})
    """

    def __init__(self, mapped: Container[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._mapped = mapped
        self._reported: set[str] = set()

    def see(self, values: Sequence[bytes | None]) -> None:
        """Count the unmapped names in a batch; values that aren't events are skipped."""
        for value in values:
            try:
                found = _decode(value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            name = found.event
            if found.type not in ("track", None) or not isinstance(name, str) or not name:
                continue
            if name not in self._mapped and (name in self.counts or len(self.counts) < MAX_NAMES):
                self.counts[name] += 1

    def unreported(self) -> dict[str, int]:
        """Names seen for the first time since the last call, with their counts so far."""
        fresh = self.counts.keys() - self._reported
        self._reported |= fresh
        return {name[:_LENGTH]: n for name, n in self.counts.most_common() if name in fresh}


class NamingDecoder:
    """A batch decoder that also counts unmapped names.

    Attributes
    ----------
    names
        The unmapped names so far.
    events
        Number of events decoded so far.
    """

    def __init__(self, decoder: BatchDecoder, mapped: Container[str]) -> None:
        self.names = UnmappedNames(mapped)
        self.events = 0
        self._decoder = decoder

    def decode(self, batch: RecordBatch) -> Decoded:
        """Decode a batch, and count its unmapped names."""
        decoded = self._decoder.decode(batch)
        self.events += int(decoded.columns.ends.sum())
        if decoded.unknown_names:
            self.names.see(batch.values)
        return decoded


def unmapped_line(counts: Mapping[str, int], events: int) -> str:
    """One line: the most frequent unmapped names, and how to map them."""
    most = Counter(counts).most_common(_SHOWN)
    shown = ", ".join(f"{name[:_LENGTH]!r} {count:,}" for name, count in most)
    more = f" and {len(counts) - len(most):,} more names" if len(counts) > len(most) else ""
    quoted = msgspec.json.encode(most[0][0][:_LENGTH]).decode() if most else '"name"'
    return (
        f"{sum(counts.values()):,} of {events:,} events have names that aren't mapped to a kind, "
        f"so they count as `other`: {shown}{more}. Map them in hark.toml, as [events] {quoted} = "
        '"view" (docs/publish.md)'
    )
