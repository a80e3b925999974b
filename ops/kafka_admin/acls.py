"""The rights (ACLs) of a cluster's users: read, granted and revoked with Kafka's protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import ClusterAuthorizationFailedError, SecurityDisabled, for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest,
)
from aiokafka.protocol.api import Request

from schemas.errors import ConfigError, TransientError
from schemas.roles import Operation, Resource, Right
from streams.kafka.permissions import OPERATIONS

# Numbers of Kafka's protocol (org.apache.kafka.common.acl, .resource).
_RESOURCES = {
    Resource.TOPIC: 2,
    Resource.GROUP: 3,
    Resource.CLUSTER: 4,
    Resource.TRANSACTIONAL_ID: 5,
}
_ANY, _LITERAL, _PREFIXED, _ALLOW = 1, 3, 4, 3
_EVERY_HOST = "*"
_SETTLED_S = 30


@dataclass(frozen=True, slots=True)
class Binding:
    """A right of a user, as the cluster stores it."""

    principal: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool

    @staticmethod
    def of(right: Right, principal: str) -> Binding:
        """The binding that gives a role's right to a user."""
        return Binding(principal, right.resource, right.name, right.operation, right.prefixed)

    def row(self) -> tuple[Any, ...]:
        """The binding as a row of Kafka's requests."""
        return (
            _RESOURCES[self.resource],
            self.name,
            _PREFIXED if self.prefixed else _LITERAL,
            self.principal,
            _EVERY_HOST,
            OPERATIONS[self.operation],
            _ALLOW,
        )


class _Create(Request[CreateAclsRequest_v1]):
    API_KEY = 30

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._rows = [binding.row() for binding in bindings]

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._rows)


class _Delete(Request[DeleteAclsRequest_v1]):
    API_KEY = 31

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._rows = [binding.row() for binding in bindings]

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self._rows)


async def held(client: AIOKafkaClient, broker: int | None = None) -> set[Binding]:
    """Return every right granted for all hosts; Hark grants no other, and no denials.

    Parameters
    ----------
    broker
        Node id of the broker to ask; None asks any.

    Raises
    ------
    ConfigError
        The cluster has no authorizer, or this user may not read rights.
    """
    every = DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY)
    node = client.get_random_node() if broker is None else broker
    answer = await client.send(node, every)
    _check(answer.error_code, answer.error_message)
    resources = {number: resource for resource, number in _RESOURCES.items()}
    operations = {number: operation for operation, number in OPERATIONS.items()}
    return {
        Binding(principal, resources[kind], name, operations[operation], pattern == _PREFIXED)
        for kind, name, pattern, entries in answer.resources
        for principal, host, operation, permission in entries
        if kind in resources and operation in operations
        and permission == _ALLOW and host == _EVERY_HOST
    }  # fmt: skip


async def grant(client: AIOKafkaClient, bindings: Iterable[Binding]) -> list[Binding]:
    """Grant the missing rights and return them, once every broker enforces them.

    Raises
    ------
    ConfigError
        The cluster refuses.
    TransientError
        A broker doesn't take the change over in time.
    """
    found = await held(client)
    missing = [binding for binding in bindings if binding not in found]
    if missing:
        answer = await client.send(client.get_random_node(), _Create(missing))
        for code, message in answer.creation_responses:
            _check(code, message)
        await _until(client, lambda found: found.issuperset(missing))
    return missing


async def revoke(client: AIOKafkaClient, bindings: Sequence[Binding]) -> list[Binding]:
    """Revoke the granted rights among these and return them, once no broker allows them.

    Raises
    ------
    ConfigError
        The cluster refuses.
    TransientError
        A broker doesn't take the change over in time.
    """
    found = await held(client)
    granted = [binding for binding in bindings if binding in found]
    if granted:
        answer = await client.send(client.get_random_node(), _Delete(granted))
        for code, message, _matches in answer.filter_responses:
            _check(code, message)
        await _until(client, lambda found: found.isdisjoint(granted))
    return granted


async def _until(client: AIOKafkaClient, settled: Callable[[set[Binding]], bool]) -> None:
    """Wait until every broker knows of a change: the controller answers before that."""
    end = time.monotonic() + _SETTLED_S
    for broker in client.cluster.brokers():
        while not settled(await held(client, broker.nodeId)):
            if time.monotonic() > end:
                raise TransientError(
                    f"broker {broker.nodeId} doesn't know of the change of rights after "
                    f"{_SETTLED_S} s; run it again"
                )
            await asyncio.sleep(0.02)


def _check(code: int, message: str | None) -> None:
    if not code:
        return
    if for_code(code) is SecurityDisabled:
        raise ConfigError("this cluster has no authorizer: everybody may do everything on it")
    if for_code(code) is ClusterAuthorizationFailedError:
        raise ConfigError("this user may not read or change rights: log in as the role admin")
    raise ConfigError(f"rights can't be read or changed: {message or for_code(code).__name__}")
