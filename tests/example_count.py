"""How many examples a property test tries: a quarter of its number, all of it in the long form."""

from __future__ import annotations

import os

ALL = "HARK_TEST_EXAMPLES"


def example_count(number: int) -> int:
    """`number` where `make test-slow` asks for all, else a quarter, never under five."""
    return number if os.environ.get(ALL) == "all" else max(number // 4, min(number, 5))
