"""Whether the workers of a group have the same settings.

Users are distributed by partition. If two workers' settings differ, some users get different lists
and alerts than others, and nothing else shows it. So each worker sends hashes of its settings when
it joins the catalogue's group, and the member that assigns the partitions compares them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
import structlog
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from streams.settings import Settings

log = structlog.get_logger(__name__)
SHARED = ("contract", "events", "state", "recommend", "alerts", "model")
"""Sections that decide a user's lists and alerts."""
OWN = {"model": {"registry", "engine", "plans"}, "state": {"checkpoint_s"}}
"""Settings in these sections that may differ between workers."""

Assignor: TypeAlias = RoundRobinPartitionAssignor


def fingerprints(settings: Settings) -> dict[str, str]:
    """A hash of each section that must be equal in all workers of a group.

    Examples
    --------
    >>> from streams.settings import Recommend
    >>> one, other = (fingerprints(Settings(recommend=Recommend(top_k=k))) for k in (10, 3))
    >>> [section for section in one if one[section] != other[section]]
    ['recommend']
    """
    found = settings.model_dump(mode="json", include=set(SHARED))
    return {section: _hash(_shared(section, found[section])) for section in SHARED}


def fingerprint(settings: Settings) -> str:
    """A single hash of all shared settings."""
    return _hash(fingerprints(settings))


def differing(workers: Iterable[Mapping[str, str]]) -> list[str]:
    """Sections with different hashes among the workers.

    Examples
    --------
    >>> differing([{"state": "a", "events": "b"}, {"state": "a", "events": "c"}])
    ['events']
    """
    known = list(workers)
    return [name for name in SHARED if len({worker.get(name, "") for worker in known}) > 1]


def settings_assignor(settings: Settings, worker: str) -> type[Assignor]:
    """A round-robin assignor that sends the settings' hashes, and logs where they differ.

    Parameters
    ----------
    settings
        This worker's settings.
    worker
        This worker's name in the logs of other workers.
    """
    user_data = msgspec.json.encode(_Hashes(worker, fingerprints(settings)))

    class SettingsAssignor(Assignor):
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), user_data)

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            log_differences(bytes(member.user_data or b"") for member in members.values())
            assigned: dict[str, ConsumerProtocolMemberAssignment] = super().assign(cluster, members)
            return assigned

    return SettingsAssignor


def log_differences(user_data: Iterable[bytes]) -> list[str]:
    """Log and return the sections that differ; `user_data` are the group members' hashes."""
    known = []
    for data in user_data:
        try:
            known.append(_decode(data))
        except msgspec.DecodeError:
            continue  # a member that isn't a worker of Hark
    sections = differing(worker.hashes for worker in known)
    if sections:
        log.error(
            "settings.differ",
            sections=sections,
            workers={
                worker.name: [worker.hashes.get(section) for section in sections]
                for worker in known
            },
            what_to_do="give all workers of the group the same hark.toml and HARK_ variables",
        )
    return sections


class _Hashes(msgspec.Struct):
    name: str
    hashes: dict[str, str]


_decode = msgspec.json.Decoder(_Hashes).decode


def _shared(section: str, values: Mapping[str, object]) -> dict[str, object]:
    own = OWN.get(section, set())
    return {name: value for name, value in values.items() if name not in own}


def _hash(value: object) -> str:
    # A short unsalted hash is enough: there are no secrets in these sections.
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]
