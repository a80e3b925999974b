"""Who may do what on the cluster: the least that each role's commands need.

Derived from the reviewed table of topics: who writes a topic is among its `producers`, who reads
it among its `consumers`. What a role may besides (groups, transactions, descriptions) is here.
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
    "reader": "who subscribes to recommendations and alerts",
    "operator": "watches lag and settings, replays dead letters, makes forget users",
    "admin": "creates topics, grants rights",
}


class Resource(StrEnum):
    """What a right is about, in Kafka's own words."""

    TOPIC = "Topic"
    GROUP = "Group"
    CLUSTER = "Cluster"
    TRANSACTIONAL_ID = "TransactionalId"


class Operation(StrEnum):
    """What it allows, in Kafka's own words. Read, Write, Alter and Delete imply Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"


CLUSTER = "kafka-cluster"
"""The name of the one resource of that kind."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One role may do one thing to one resource, or to all whose names begin so (`prefixed`)."""

    role: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def rights(prefix: str = "", group: str = "hark") -> tuple[Right, ...]:
    """Everything that all roles may.

    Parameters
    ----------
    prefix
        Of the topics' names.
    group
        The workers' consumer group.
    """
    found = [right for spec in topics(prefix) for right in topic_rights(spec)]
    return tuple(dict.fromkeys([*found, *other_rights(prefix, group)]))


def reader_groups(prefix: str) -> str:
    """What the group ids of subscribers begin with."""
    return f"{prefix}reader-"


def replayed_group(group: str) -> str:
    """What the groups begin with whose commits say which dead letters were replayed."""
    return f"{group}-replayed"


def catalogue_group(group: str) -> str:
    """In which a group's workers share the catalogue's dead letters among them."""
    return f"{group}-catalogue"


def topic_rights(spec: TopicSpec) -> Iterator[Right]:
    """What each role may do with one topic."""
    for role in spec.consumers:
        yield Right(role, Resource.TOPIC, spec.name, Operation.READ)
    for role in spec.producers:
        yield Right(role, Resource.TOPIC, spec.name, Operation.WRITE)
    for operation in (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS):
        yield Right("operator", Resource.TOPIC, spec.name, operation)
    if "worker" in spec.roles:  # a worker refuses topics whose settings lose something
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
    """What roles may besides: groups, transactions, the cluster."""
    # An idempotent producer needs no right of its own since Kafka 3.0: Write on a topic is enough.
    yield Right("worker", Resource.GROUP, group, Operation.READ)
    yield Right("worker", Resource.GROUP, catalogue_group(group), Operation.READ)
    transactions = state_transactions(prefix)
    yield Right("worker", Resource.TRANSACTIONAL_ID, transactions, Operation.WRITE, prefixed=True)
    yield Right("reader", Resource.GROUP, reader_groups(prefix), Operation.READ, prefixed=True)
    yield Right("operator", Resource.GROUP, group, Operation.DESCRIBE)
    yield Right("operator", Resource.GROUP, replayed_group(group), Operation.READ, prefixed=True)
    yield Right("operator", Resource.CLUSTER, CLUSTER, Operation.DESCRIBE)
    yield Right("admin", Resource.CLUSTER, CLUSTER, Operation.ALTER)
