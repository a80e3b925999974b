"""Where Hark keeps what belongs to a machine and not to a checkout."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Downloads that can be made again: `$HARK_HOME/cache`, or the user's cache folder."""
    return _place("cache", "XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """What has to last: `$HARK_HOME/state`, or the user's state folder."""
    return _place("state", "XDG_STATE_HOME", ".local/state")


def _place(kind: str, variable: str, fallback: str) -> Path:
    home = os.environ.get("HARK_HOME")
    if home:
        return Path(home) / kind
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "hark"
