"""`hark worker` with a defect: an event whose id begins with `poison` breaks the decision, and one
whose id begins with `hang` never gets one. With `slow` ones a batch takes a quarter of a second.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from ops.cli import main
from streams.decisions import Decider

decide = Decider.decide


def broken(self: Decider, state: Any, columns: Any, *rest: Any, **named: Any) -> Any:
    decisions = decide(self, state, columns, *rest, **named)
    if any(message.startswith("poison") for message in columns.message_ids):
        raise ValueError("secret")
    if any(message.startswith("slow") for message in columns.message_ids):
        time.sleep(0.25)
    if any(message.startswith("hang") for message in columns.message_ids):
        threading.Event().wait()
    return decisions


if __name__ == "__main__":
    setattr(Decider, "decide", broken)  # noqa: B010 - a method can't be assigned to
    main()
