"""What the demo shows while it runs: one screen on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.render import describe_alert
from schemas.outputs import Alert, Recommendation

_LINE_EVERY_S = 10.0
_SHOWN = 5


@dataclass(slots=True)
class Picture:
    """What is known right now; the demo fills it in, the view draws it."""

    phase: str = "starting"
    started_s: float = field(default_factory=time.monotonic)
    sent: int = 0
    total: int = 0
    scored: int = 0
    dead_letters: int = 0
    lag: int = 0
    events_per_s: float = 0.0
    latency_ms: dict[str, float | None] = field(default_factory=dict)
    model: str = "none yet"
    recommendations: deque[Recommendation] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=3))

    def line(self) -> str:
        """The figures in one line, those that are known."""
        parts = [f"{self.sent:,} of {self.total:,} sent"]
        if self.scored:
            parts += [f"{self.scored:,} scored", f"{self.events_per_s:,.0f}/s", f"lag {self.lag:,}"]
        if self.latency_ms:
            parts += [f"{q} {_ms(self.latency_ms[q])}" for q in ("p50", "p99")]
        return f"{time.monotonic() - self.started_s:4.0f} s  {self.phase}: {', '.join(parts)}"


class LiveView:
    """Draws a `Picture` several times a second, or prints a line every few seconds.

    Parameters
    ----------
    console
        A terminal gets the screen, anything else lines.
    picture
        Read at each drawing.
    """

    def __init__(self, console: Console, picture: Picture) -> None:
        self.picture = picture
        self._console = console
        self._printed_s = 0.0
        self._printed_phase = ""
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def phase(self, name: str) -> None:
        """Say what is being done now."""
        self.picture.phase = name
        self.tick()

    def tick(self) -> None:
        """Print the next line if it's time and nobody watches a terminal."""
        new = self.picture.phase != self._printed_phase
        now = time.monotonic()
        if self._console.is_terminal or not (new or now - self._printed_s > _LINE_EVERY_S):
            return
        self._printed_s, self._printed_phase = now, self.picture.phase
        self._console.print(self.picture.line(), highlight=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        picture = self.picture
        figures = Table.grid(padding=(0, 2))
        for name, value in (
            ("sent", f"{picture.sent:,} of {picture.total:,}"),
            ("scored", f"{picture.scored:,}"),
            ("dead letters", f"{picture.dead_letters:,}"),
            ("lag", f"{picture.lag:,} events"),
            ("events/s", f"{picture.events_per_s:,.0f}"),
            ("p50, p99", ", ".join(_ms(picture.latency_ms.get(q)) for q in ("p50", "p99"))),
            ("model", picture.model),
        ):
            figures.add_row(Text(name, style="dim"), value)
        lists = [_short(made) for made in reversed(picture.recommendations)]
        alerts = [describe_alert(raised) for raised in reversed(picture.alerts)]
        none = Text("none yet", style="dim")
        elapsed = time.monotonic() - picture.started_s
        return Group(
            Panel(figures, title=f"{picture.phase}, {elapsed:.0f} s", title_align="left"),
            Panel(Group(*lists or [none]), title="latest recommendations", title_align="left"),
            Panel(Group(*alerts or [none]), title="latest alerts", title_align="left"),
        )


def _short(made: Recommendation) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(made.user_id, style="bold").append("  ")
    return line.append("  ".join(item.item_id for item in made.items))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
