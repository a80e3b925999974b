"""Users of a cluster: their SCRAM credentials, set over the wire so that no command line has them.

KIP-554. The password itself isn't sent: what the broker stores is computed here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from schemas.errors import ConfigError

_SCRAM_SHA_512 = 2
_ITERATIONS = 8_192
_KEY = 51


class _Answer(Response):
    API_KEY = _KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = _KEY
    API_VERSION = 0
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsers(Request[_Question]):
    API_KEY = _KEY

    def __init__(self, upsertions: list[tuple[Any, ...]]) -> None:
        self._upsertions = upsertions

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([], self._upsertions, {})


async def set_passwords(client: AIOKafkaClient, passwords: Mapping[str, str]) -> None:
    """Create the users, or give those that exist these passwords.

    Raises
    ------
    ConfigError
        The cluster refuses: who asks needs Alter on the cluster.
    """
    rows = [_row(user, password) for user, password in passwords.items()]
    answer = await client.send(client.get_random_node(), _AlterUsers(rows))
    for user, code, message, _tags in answer.results:
        if code:
            raise ConfigError(f"user {user} can't be set: {message or for_code(code).__name__}")


def _row(user: str, password: str) -> tuple[Any, ...]:
    salt = secrets.token_bytes(32)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return user, _SCRAM_SHA_512, _ITERATIONS, salt, salted, {}
