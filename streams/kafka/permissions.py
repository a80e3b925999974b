"""What the logged-in user may do on a cluster, according to the brokers (KIP-430)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String
from msgspec import Struct

from schemas.errors import ConfigError
from schemas.roles import Operation, Resource, Right

# Numbers of Kafka's protocol (org.apache.kafka.common.acl.AclOperation).
OPERATIONS = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DELETE: 6,
    Operation.ALTER: 7,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
    Operation.ALTER_CONFIGS: 11,
}
_UNKNOWN = -(2**31)  # the protocol's value if a broker doesn't report operations
_EVERYTHING = -1


class _Answer(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _Metadata_v8(MetadataRequest_v5):
    API_VERSION = 8
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        *zip(MetadataRequest_v4.SCHEMA.names, MetadataRequest_v4.SCHEMA.fields, strict=True),
        ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
    )


class _Metadata(Request[MetadataRequest_v5 | _Metadata_v8]):
    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def build(self, request_struct_class: type[Any]) -> Any:
        rest = (False, True) if request_struct_class is _Metadata_v8 else ()
        return request_struct_class(self._names, False, *rest)  # don't create the topics


class Seen(Struct, frozen=True):
    """A topic as the logged-in user sees it.

    Attributes
    ----------
    partitions
        Number of partitions; 0 if the topic doesn't exist or is hidden.
    operations
        Bit set of the allowed operations, by operation number.
    hidden
        Whether the user may not even see that the topic exists.
    """

    partitions: int
    operations: int
    hidden: bool

    def allows(self, operation: Operation) -> bool:
        """Whether the user may do it; assumed if the broker is too old to report operations."""
        return not self.hidden and bool(self.operations >> OPERATIONS[operation] & 1)


async def see_topics(client: AIOKafkaClient, names: Sequence[str]) -> dict[str, Seen]:
    """Each topic as the user sees it, by name; the request creates no topic."""
    answer = await client.send(client.get_random_node(), _Metadata(names))
    found = {}
    for topic in answer.to_object()["topics"]:
        hidden = for_code(topic["error_code"]) is TopicAuthorizationFailedError
        operations = topic.get("operations", _UNKNOWN)
        if operations == _UNKNOWN:
            operations = _EVERYTHING
        found[topic["topic"]] = Seen(len(topic["partitions"]), operations, hidden)
    return found


async def lacking(
    client: AIOKafkaClient, needed: Iterable[Right], seen: Mapping[str, Seen]
) -> list[Right]:
    """The rights among `needed` that the user lacks, as far as a client can find out.

    That is for topics in `seen`, for groups and for transactional ids.
    """
    found = []
    for right in needed:
        topic = seen.get(right.name) if right.resource is Resource.TOPIC else None
        if topic is not None and not (topic.partitions == 0 and not topic.hidden):
            allowed = topic.allows(right.operation)
        elif right.resource is Resource.GROUP:
            allowed = await _coordinated(client, CoordinationType.GROUP, right.name)
        elif right.resource is Resource.TRANSACTIONAL_ID:
            allowed = await _coordinated(client, CoordinationType.TRANSACTION, right.name)
        else:
            continue
        if not allowed:
            found.append(right)
    return found


async def _coordinated(client: AIOKafkaClient, kind: int, name: str) -> bool:
    """Whether the user may look up a coordinator; other errors will show when it is used."""
    try:
        await client.coordinator_lookup(kind, name)
    except (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed):
        return False
    except KafkaError:
        pass
    return True


def refused(user: str, role: str, rights: Sequence[Right]) -> ConfigError:
    """One line: the user, the missing rights, and the command that grants them."""
    by_operation: dict[tuple[Operation, Resource], list[str]] = {}
    for right in rights:
        by_operation.setdefault((right.operation, right.resource), []).append(right.name)
    what = "; ".join(
        f"{operation} {resource} {', '.join(names)}"
        for (operation, resource), names in by_operation.items()
    )
    return ConfigError(
        f"user {user} lacks rights of the role {role}: {what}; log in as another user, "
        f"or have an admin run `hark topics acls --role {role} --apply{_principal(user, role)}`"
    )


def _principal(user: str, role: str) -> str:
    return "" if user == role else f" --principal {user}"
