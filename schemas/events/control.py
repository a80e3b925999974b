"""Control records: an operator's commands on `events`, which take effect at their offset.

A control record needs both the header `hark-control` and a value of its own type, so that no
publisher sends one by accident. The only command is `forget`: drop everything about a user up to
this offset. It is sent to every partition, because a user's events may lie in several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from schemas.errors import ConfigError, RejectedRecord
from schemas.events.tolerant import TolerantDecoder

HEADER = "hark-control"
FORGET = b"forget"


class Forget(msgspec.Struct, rename="camel"):
    """Forget this user; later events belong to a new user."""

    type: Literal["forget"]  # not a tag: msgspec takes a struct whose tag is missing
    user_id: str


class _UserIds(msgspec.Struct, rename="camel"):
    user_id: str | int | None = None
    anonymous_id: str | int | None = None


_decode_forget = msgspec.json.Decoder(Forget).decode
_decode_user_ids = msgspec.json.Decoder(_UserIds).decode
_decode_odd_user_ids = TolerantDecoder(_UserIds).decode


def forget(user_id: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record that makes the workers forget a user.

    Raises
    ------
    ConfigError
        The user id is empty.
    """
    if not user_id:
        raise ConfigError("no user to forget: the user id is empty (an unset shell variable?)")
    return user_id.encode(), msgspec.json.encode(Forget("forget", user_id)), [(HEADER, FORGET)]


def forgotten(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The user that a record asks to forget; None if it isn't a forget record.

    Examples
    --------
    >>> key, value, headers = forget("u-4711")
    >>> forgotten(value, headers), forgotten(value, []), forgotten(b"{}", headers)
    ('u-4711', None, None)
    """
    if value is None or (HEADER, FORGET) not in headers:
        return None
    try:
        return _decode_forget(value).user_id or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def names_nobody(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a forget record names no user.

    Examples
    --------
    >>> names_nobody(b'{"type":"forget","userId":""}', [(HEADER, FORGET)])
    True
    """
    if value is None or (HEADER, FORGET) not in headers:
        return False
    try:
        return not _decode_forget(value).user_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def users_named(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> set[str]:
    """All users that a record may belong to: its key, `userId`, `anonymousId` and `ce_subject`."""
    subjects = [content for name, content in headers if name == "ce_subject"]
    users = {text.decode("utf-8", "replace") for text in (key, *subjects) if text}
    try:
        ids = _decode_user_ids(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            ids, _ = _decode_odd_user_ids(value or b"")
        except RejectedRecord:
            return users
    named = ids.user_id, ids.anonymous_id
    return users | {str(user_id) for user_id in named if user_id is not None and user_id != ""}
