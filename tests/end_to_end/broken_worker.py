"""`hark worker` with a defect: an event whose id begins with `poison` breaks the decision, and one
whose id begins with `hang` never gets one. A `slow` event takes `SLOW_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from ops.cli import main
from streams.decisions.answers import Undecided
from streams.decisions.decider import Decider, Decisions

decide = Decider.decide
SLOW_S = 0.001


def broken(self: Decider, parts: Sequence[Undecided], **named: Any) -> list[Decisions]:
    decisions = decide(self, parts, **named)
    messages = [message for part in parts for message in part.columns.message_ids]
    if any(message.startswith("poison") for message in messages):
        raise ValueError("secret")
    time.sleep(SLOW_S * sum(message.startswith("slow") for message in messages))
    if any(message.startswith("hang") for message in messages):
        threading.Event().wait()
    return decisions


if __name__ == "__main__":
    setattr(Decider, "decide", broken)  # noqa: B010 - a method can't be assigned to
    main()
