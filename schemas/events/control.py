"""Control records: what an operator says on `events`, so that all hear it at one place of the log.

A control record has the header `hark-control` and a value of its own type; neither alone means
anything, so that no publisher says it by accident. `forget` is the only one: keep nothing of a
user from here on. It is sent to every partition, since a user's events may lie in several.
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
    """Keep nothing of this user; events after this record are a new user's."""

    type: Literal["forget"]  # not a tag: msgspec takes a struct whose tag is missing
    user_id: str


class _Naming(msgspec.Struct, rename="camel"):
    user_id: str | int | None = None
    anonymous_id: str | int | None = None


_decode_forget = msgspec.json.Decoder(Forget).decode
_decode_naming = msgspec.json.Decoder(_Naming).decode
_decode_odd_naming = TolerantDecoder(_Naming).decode


def forget(user_id: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record that makes everybody forget a user.

    Raises
    ------
    ConfigError
        The user id is empty: it is nobody's.
    """
    if not user_id:
        raise ConfigError("forget whom? The user id is empty (an unset shell variable?)")
    return user_id.encode(), msgspec.json.encode(Forget("forget", user_id)), [(HEADER, FORGET)]


def forgotten(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The user whom a record makes everybody forget; None if it is any other record.

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
    """Whether a record says `forget` and not whom.

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
    """Whose record this may be: its key, `userId`, `anonymousId` and `ce_subject`."""
    found = [content for name, content in headers if name == "ce_subject"]
    named = {text.decode("utf-8", "replace") for text in (key, *found) if text}
    try:
        naming = _decode_naming(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            naming, _ = _decode_odd_naming(value or b"")
        except RejectedRecord:
            return named
    ids = naming.user_id, naming.anonymous_id
    return named | {str(one) for one in ids if one is not None and one != ""}
