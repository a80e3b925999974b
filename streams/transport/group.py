"""How a worker reads its topic, and what it is in its consumer group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Settings of a member of a consumer group.

    Attributes
    ----------
    group_id
        The consumer group.
    session_timeout_s, heartbeat_s
        The group removes a member after this long without a heartbeat; time between heartbeats.
    drain_timeout_s
        How long the agent may go on with its batches when partitions are revoked or on a stop.
    rebalance_timeout_s
        How long members may take to give partitions up: the drain, commits and checkpoints.
    commit_s
        Time between two commits.
    max_fetch_bytes
        Largest fetch of a partition.
    max_batch_records
        A larger fetch is cut. This bounds the work that must end before a rebalance can.
    fetch_max_wait_ms
        How long the broker may hold a fetch that finds nothing. Meanwhile nothing else is fetched
        from that broker, so this adds to the latency of a busy partition.
    """

    group_id: str
    session_timeout_s: float = 10.0
    heartbeat_s: float = 1.0
    drain_timeout_s: float = 20.0
    rebalance_timeout_s: float = 60.0
    commit_s: float = 1.0
    max_fetch_bytes: int = 1_048_576
    max_batch_records: int = 4_000
    fetch_max_wait_ms: int = 25
