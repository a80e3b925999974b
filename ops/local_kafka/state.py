"""What `hark broker start` started, so that other commands find it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ops.local_kafka.process import ProcessId, is_running


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


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """One running broker process."""

    id: int
    pid: int
    started_s: float
    port: int
    log_file: str

    @property
    def process(self) -> ProcessId:
        """Who it is."""
        return ProcessId(self.pid, self.started_s)


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """The local cluster, as written to the state file."""

    bootstrap_servers: str
    kafka_version: str
    java: str
    data_dir: str
    brokers: tuple[BrokerState, ...]
    access: str | None = None  # the access folder of a secured one

    def running(self) -> tuple[BrokerState, ...]:
        """The brokers that still run."""
        return tuple(broker for broker in self.brokers if is_running(broker.process))


def read_state() -> ClusterState | None:
    """Return what was started last and not stopped, None if nothing (or nothing runs any more)."""
    try:
        state = msgspec.json.decode(_file().read_bytes(), type=ClusterState)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return state if state.running() else None


def write_state(state: ClusterState) -> None:
    """Replace the state file in one step."""
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    fresh.replace(file)


def forget_state() -> None:
    """Remove the state file."""
    _file().unlink(missing_ok=True)


def _file() -> Path:
    return state_dir() / "broker.json"
