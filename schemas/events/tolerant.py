"""Reads an odd record field by field: unreadable fields are left out, the event is kept.

The strict decoder reads nearly all records in one call. A record that it refuses comes here: every
field is decoded on its own, and fields of a wrong type are left out, with their path and the
reason. The caller decides whether the event is valid without them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from types import MappingProxyType
from typing import Any, get_args, get_origin

import msgspec

from schemas.errors import Reason, RejectedRecord

BOM = b"\xef\xbb\xbf"
TEXT = "text"
"""The path reported for a repair: half a surrogate pair, a byte that isn't UTF-8, or NaN."""
LINE = "properties.products[]"
"""The path reported for a product that was left out."""

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_CONSTANTS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', re.DOTALL)
"""Texts, which stay; and numbers that some languages write (Python's `json.dumps`)."""
_REPLACED = "\ufffd"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def _null(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"


class Reading:
    """The state of reading one record: its repaired text, and the fields that were left out."""

    def __init__(self, value: bytes) -> None:
        self.left_out: list[tuple[str, str]] = []
        """Path and reason of each field left out, in order."""
        self.invalid = ""
        """Why the bytes aren't UTF-8, "" if they are."""
        text = value.removeprefix(BOM).rstrip(b"\0")  # the terminator of a C string
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self.invalid = str(error)
            text = text.decode(errors="replace").encode()
        mended = _ESCAPES.sub(_whole_escape, text)
        if self.invalid or mended != text:
            self.left_out.append((TEXT, self.invalid or "half of a surrogate pair"))
        if b"NaN" in mended or b"Infinity" in mended:
            finite = _CONSTANTS.sub(_null, mended)
            if finite != mended:
                self.left_out.append((TEXT, "NaN and Infinity are no JSON"))
            mended = finite
        self.text = mended

    def leave_out(self, path: str, why: str) -> None:
        """Leave out the field at `path`."""
        self.left_out.append((path, why))

    def why(self, path: str) -> str:
        """Why the field at `path` was left out, "" if it wasn't."""
        return next((why for left_out, why in self.left_out if left_out == path), "")


class TolerantDecoder:
    """Reads records into `event`, a struct of `compiled.py`, and leaves out odd fields."""

    def __init__(self, event: type[Any]) -> None:
        self._event = _Object(event, "")

    def decode(self, value: bytes) -> tuple[Any, Reading]:
        """The event without its unreadable fields, and the reading that lists them.

        Raises
        ------
        RejectedRecord
            The value isn't a JSON object.
        """
        reading = Reading(value)
        try:
            return self._event.read(_OBJECT.decode(reading.text), reading), reading
        except (msgspec.DecodeError, RecursionError) as error:
            if reading.invalid:
                raise RejectedRecord(Reason.INVALID_UTF8, reading.invalid) from None
            wrong = isinstance(error, msgspec.ValidationError)
            reason = Reason.WRONG_TYPE if wrong else Reason.MALFORMED_JSON
            raise RejectedRecord(reason, str(error)) from None


class _Object:
    """How to read one struct: its leaves, nested structs and lists of structs."""

    def __init__(self, struct: type[Any], path: str) -> None:
        self._struct = struct
        self._strict = msgspec.json.Decoder(struct)
        self._path = path
        self._leaves: dict[str, tuple[str, msgspec.json.Decoder[Any]]] = {}
        self._inner: dict[str, tuple[str, _Object]] = {}
        self._lists: dict[str, tuple[str, _Object]] = {}
        for field in msgspec.structs.fields(struct):
            name = field.encode_name
            below = f"{path}.{name}" if path else name
            kind = next((option for option in get_args(field.type) if _holds_structs(option)), None)
            if kind is None:
                self._leaves[name] = field.name, msgspec.json.Decoder(field.type)
            elif get_origin(kind) is list:
                self._lists[name] = field.name, _Object(get_args(kind)[0], f"{below}[]")
            else:
                self._inner[name] = field.name, _Object(kind, below)

    def read(self, found: dict[str, msgspec.Raw], reading: Reading) -> Any:
        made: dict[str, Any] = {}
        for name, raw in found.items():
            if leaf := self._leaves.get(name):
                made[leaf[0]] = self._leaf(name, leaf[1], raw, reading)
            elif inner := self._inner.get(name):
                made[inner[0]] = inner[1].read_object(raw, reading)
            elif lines := self._lists.get(name):
                made[lines[0]] = self._lines(name, lines[1], raw, reading)
        return self._struct(
            **{name: value for name, value in made.items() if value is not _LEFT_OUT}
        )

    def read_object(self, raw: msgspec.Raw, reading: Reading) -> Any:
        """The struct, empty where `raw` is no object; None for null."""
        if not reading.invalid:  # what is odd lies elsewhere, mostly
            with suppress(msgspec.ValidationError):
                return self._strict.decode(raw)
        if _is_null(raw):
            return None
        try:
            found = _OBJECT.decode(raw)
        except msgspec.ValidationError as error:
            if not _is_empty_list(raw):  # PHP's empty object
                reading.leave_out(self._path, str(error))
            return _LEFT_OUT
        return self.read(found, reading)

    def _leaf(
        self, name: str, decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, reading: Reading
    ) -> Any:
        path = f"{self._path}.{name}" if self._path else name
        try:
            value = decoder.decode(raw)
        except msgspec.ValidationError as error:
            reading.leave_out(path, f"{error} - at `$.{path}`")
            return _LEFT_OUT
        if reading.invalid and type(value) is str and _REPLACED in value:
            reading.leave_out(path, reading.invalid)  # two different ids could become equal
            return _LEFT_OUT
        return value

    def _lines(self, name: str, line: _Object, raw: msgspec.Raw, reading: Reading) -> Any:
        if _is_null(raw):
            return None
        try:
            entries = _LIST.decode(raw)
        except msgspec.ValidationError as error:
            numbered = _numbered(raw)
            if numbered is None:
                reading.leave_out(f"{self._path}.{name}", str(error))
                return _LEFT_OUT
            entries = numbered
        lines = [line.read_object(entry, reading) for entry in entries]
        for entry, made in zip(entries, lines, strict=True):
            if made is None or (made is _LEFT_OUT and _is_empty_list(entry)):
                reading.leave_out(line._path, "Expected `object`")
        return [made for made in lines if made is not None and made is not _LEFT_OUT]


_LEFT_OUT: Any = MappingProxyType({})
"""The value of a field that is left out."""


def _holds_structs(annotation: Any) -> bool:
    if get_origin(annotation) is list:
        return _holds_structs(get_args(annotation)[0])
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def _numbered(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """The values of `{"0": .., "2": ..}`: PHP's list with a gap; None for anything else."""
    try:
        found = _OBJECT.decode(raw)
    except msgspec.ValidationError:
        return None
    return list(found.values()) if all(name.isdecimal() for name in found) else None


def _is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw).strip() == b"null"


def _is_empty_list(raw: msgspec.Raw) -> bool:
    text = bytes(raw).strip()
    return text[:1] == b"[" and text[1:-1].strip() == b""


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found["half"] else found[0]
