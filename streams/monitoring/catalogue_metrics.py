"""Metrics of the catalogue's entries; each entry is counted by a single worker of the group."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter
from prometheus_client.registry import CollectorRegistry

from schemas.events.catalogue_entry import FIELDS

OUTCOMES = ("accepted", "removed", "rejected")


class CatalogueMetrics:
    """Counts entries by outcome, and unreadable fields of accepted entries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        entries = Counter(
            "hark_catalogue_entries",
            "Catalogue entries by outcome",
            ("outcome",),
            registry=registry,
        )
        left_out = Counter(
            "hark_catalogue_fields_left_out",
            "Fields of accepted catalogue entries that can't be read",
            ("field",),
            registry=registry,
        )
        self._entries = {outcome: entries.labels(outcome) for outcome in OUTCOMES}
        self._left_out = {field: left_out.labels(field) for field in FIELDS}

    def count(self, outcome: str, left_out: Iterable[str] = (), entries: int = 1) -> None:
        """Count `entries` with the same outcome (`OUTCOMES`) and the same left-out `FIELDS`."""
        self._entries[outcome].inc(entries)
        for field in left_out:
            self._left_out[field].inc(entries)
