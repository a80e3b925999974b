"""Whether the workers of a group have the same settings.

Users are shared out by partition: where two workers' settings differ, half of the users get other
lists and alerts than the rest, and nothing else shows it. Each worker brings hashes of its
settings along when it joins the catalogue's group; the member that shares out the partitions sees
all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

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
"""Sections that decide what a user gets."""
OWN = {"model": {"registry", "engine", "plans"}, "state": {"checkpoint_s"}}
"""What in them is a worker's own business."""

Assignor = RoundRobinPartitionAssignor


def fingerprints(settings: Settings) -> dict[str, str]:
    """A hash of each section that workers of a group must share.

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
    """One hash of all of them."""
    return _hash(fingerprints(settings))


def differing(workers: Iterable[Mapping[str, str]]) -> list[str]:
    """Sections whose hashes aren't the same in all workers.

    Examples
    --------
    >>> differing([{"state": "a", "events": "b"}, {"state": "a", "events": "c"}])
    ['events']
    """
    known = list(workers)
    return [name for name in SHARED if len({worker.get(name, "") for worker in known}) > 1]


def settings_assignor(settings: Settings, worker: str) -> type[Assignor]:
    """A round-robin assignor that brings the settings' hashes along, and tells where they differ.

    Parameters
    ----------
    worker
        How the log names this worker to others.
    """
    brought = msgspec.json.encode(_Brought(worker, fingerprints(settings)))

    class SettingsAssignor(Assignor):
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), brought)

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            tell_differences(bytes(member.user_data or b"") for member in members.values())
            shares: dict[str, ConsumerProtocolMemberAssignment] = super().assign(cluster, members)
            return shares

    return SettingsAssignor


def tell_differences(brought: Iterable[bytes]) -> list[str]:
    """Log which sections differ among the workers that brought these."""
    known = []
    for each in brought:
        try:
            known.append(_decode(each))
        except msgspec.DecodeError:
            continue  # somebody else in the group
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


class _Brought(msgspec.Struct):
    name: str
    hashes: dict[str, str]


_decode = msgspec.json.Decoder(_Brought).decode


def _shared(section: str, values: Mapping[str, object]) -> dict[str, object]:
    own = OWN.get(section, set())
    return {name: value for name, value in values.items() if name not in own}


def _hash(value: object) -> str:
    # Nobody can guess a setting from it: there are no secrets in these sections.
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]
