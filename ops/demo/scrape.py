"""Read a worker's /metrics: totals and histograms by name and labels."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from streams.monitoring.histogram import quantile


class Scrape:
    r"""One reading of the metrics.

    Examples
    --------
    >>> events = "hark_events_total"
    >>> reading = Scrape(f'{events}{{outcome="accepted"}} 3.5' "\n" f'{events}{{outcome="x"}} 1')
    >>> reading.total(events), reading.total(events, outcome="accepted")
    (4.5, 3.5)
    """

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples[sample.name].append((sample.labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        """Sum of the series that carry these labels; 0 if there is none."""
        wanted = labels.items()
        return sum(value for found, value in self._samples[name] if wanted <= found.items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Sums of the series by the value of one label."""
        sums: dict[str, float] = defaultdict(float)
        for found, value in self._samples[name]:
            if labels.items() <= found.items():
                sums[found[label]] += value
        return dict(sums)

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """A histogram's cumulative counts by upper bound."""
        return {float(bound): n for bound, n in self.by(f"{name}_bucket", "le", **labels).items()}


def latency_ms(before: Scrape | None, after: Scrape) -> dict[str, float | None]:
    """p50 and p99 in ms from broker timestamp to confirmed output, between two readings."""
    name = "hark_latency_seconds"
    counts = after.buckets(name, since="broker")
    if before is not None:
        earlier = before.buckets(name, since="broker")
        counts = {bound: count - earlier[bound] for bound, count in counts.items()}
    return {"p50": _quantile_ms(counts, 0.5), "p99": _quantile_ms(counts, 0.99)}


def _quantile_ms(counts: Mapping[float, float], q: float) -> float | None:
    if not counts or not counts[float("inf")]:
        return None
    return round(quantile(counts, q) * 1000, 2)


async def answers(url: str) -> bool:
    """Whether `url` answers with 200."""
    return await asyncio.to_thread(_get, url) is not None


async def scrape(url: str) -> Scrape | None:
    """Read `url`; None while nobody answers there."""
    text = await asyncio.to_thread(_get, url)
    return None if text is None else Scrape(text)


def _get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own worker
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None
