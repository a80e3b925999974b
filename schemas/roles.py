"""Which role may do what on the cluster: the least privileges that each role's commands need.

Rights on topics are derived from the reviewed table of topics, from `producers` and `consumers`.
Other rights (groups, transactions, the cluster) are listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas.topics import TopicSpec, state_transactions, topics

ROLES = {
    "publisher": "the product: publishes events and items",
    "worker": "`hark worker`: reads events, publishes decisions",
    "trainer": "`hark train`, `hark trainer`: archives the log",
    "reader": "subscribes to recommendations and alerts",
    "operator": "watches lag and settings, replays dead letters, forgets users",
    "admin": "creates topics, grants rights",
}


class Resource(StrEnum):
    """The kind of resource that a right is about, in Kafka's words."""

    TOPIC = "Topic"
    GROUP = "Group"
    CLUSTER = "Cluster"
    TRANSACTIONAL_ID = "TransactionalId"


class Operation(StrEnum):
    """What a right allows, in Kafka's words. Read, Write, Alter and Delete imply Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


CLUSTER = "kafka-cluster"
"""The name of the only resource of kind `CLUSTER`."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A role's permission for one operation on one resource.

    With `prefixed` it covers every resource whose name begins with `name`.
    """

    role: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def rights(prefix: str = "", group: str = "hark") -> tuple[Right, ...]:
    """All rights of all roles.

    Parameters
    ----------
    prefix
        Prefix of the topic names.
    group
        The workers' consumer group.
    """
    found = [right for spec in topics(prefix) for right in topic_rights(spec)]
    return tuple(dict.fromkeys([*found, *other_rights(prefix, group)]))


def reader_groups(prefix: str) -> str:
    """The prefix of the subscribers' group ids."""
    return f"{prefix}reader-"


def replayed_group(group: str) -> str:
    """The prefix of the groups that commit how far dead letters were replayed."""
    return f"{group}-replayed"


def catalogue_group(group: str) -> str:
    """The group in which the workers of `group` share the writing of catalogue dead letters."""
    return f"{group}-catalogue"


def topic_rights(spec: TopicSpec) -> Iterator[Right]:
    """Every role's rights on one topic."""
    for role in spec.consumers:
        yield Right(role, Resource.TOPIC, spec.name, Operation.READ)
    for role in spec.producers:
        yield Right(role, Resource.TOPIC, spec.name, Operation.WRITE)
    for operation in (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS):
        yield Right("operator", Resource.TOPIC, spec.name, operation)
    if "worker" in spec.roles:  # a worker refuses topics with settings that lose records
        yield Right("worker", Resource.TOPIC, spec.name, Operation.DESCRIBE_CONFIGS)
    for operation in (
        Operation.CREATE,
        Operation.DELETE,
        Operation.ALTER,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    ):
        yield Right("admin", Resource.TOPIC, spec.name, operation)


def other_rights(prefix: str, group: str) -> Iterator[Right]:
    """Every role's rights on groups, transactions and the cluster."""
    # Since Kafka 3.0 an idempotent producer needs nothing more than Write on the topic.
    yield Right("worker", Resource.GROUP, group, Operation.READ)
    yield Right("worker", Resource.GROUP, catalogue_group(group), Operation.READ)
    transactions = state_transactions(prefix)
    yield Right("worker", Resource.TRANSACTIONAL_ID, transactions, Operation.WRITE, prefixed=True)
    yield Right("reader", Resource.GROUP, reader_groups(prefix), Operation.READ, prefixed=True)
    yield Right("operator", Resource.GROUP, group, Operation.DESCRIBE)
    yield Right("operator", Resource.GROUP, replayed_group(group), Operation.READ, prefixed=True)
    yield Right("operator", Resource.CLUSTER, CLUSTER, Operation.DESCRIBE)
    yield Right("admin", Resource.CLUSTER, CLUSTER, Operation.ALTER)
