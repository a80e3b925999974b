"""An odd record read field by field: what can't be read is left out, the event stays a fact.

The strict decoder reads nearly all records in one go. A record that it refuses comes here: every
field is decoded alone, and those of a wrong type are left out with their path and the reason. The
caller judges whether the event can do without.
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
"""The path of a text that was mended: half of a surrogate pair or a byte that isn't UTF-8."""
LINE = "properties.products[]"
"""The path of a product that was left out."""

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACED = "\ufffd"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class Reading:
    """One record on its way: the text as mended, and what was left out."""

    def __init__(self, value: bytes) -> None:
        self.left: list[tuple[str, str]] = []
        """Path and reason of each field left out, in order."""
        self.invalid = ""
        """Why the bytes aren't UTF-8."""
        text = value.removeprefix(BOM).rstrip(b"\0")  # a C string brings its end along
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self.invalid = str(error)
            text = text.decode(errors="replace").encode()
        mended = _ESCAPES.sub(_whole_escape, text)
        if self.invalid or mended != text:
            self.left.append((TEXT, self.invalid or "half of a surrogate pair"))
        self.text = mended

    def leave(self, path: str, why: str) -> None:
        """Leave out the field at `path`."""
        self.left.append((path, why))

    def why(self, path: str) -> str:
        """Why the field at `path` was left out, "" if it wasn't."""
        return next((why for left, why in self.left if left == path), "")


class TolerantDecoder:
    """Reads records into `event`, a struct of `compiled.py`, and leaves out what is odd."""

    def __init__(self, event: type[Any]) -> None:
        self._event = _Object(event, "")

    def decode(self, value: bytes) -> tuple[Any, Reading]:
        """The event, without the fields that can't be read, and what they were.

        Raises
        ------
        RejectedRecord
            It is no JSON object at all.
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
    """How to read one struct: its leaves, its own structs, and its list of structs."""

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
            kind = next((one for one in get_args(field.type) if _holds_structs(one)), None)
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
        return self._struct(**{name: one for name, one in made.items() if one is not _LEFT})

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
                reading.leave(self._path, str(error))
            return _LEFT
        return self.read(found, reading)

    def _leaf(
        self, name: str, decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, reading: Reading
    ) -> Any:
        path = f"{self._path}.{name}" if self._path else name
        try:
            value = decoder.decode(raw)
        except msgspec.ValidationError as error:
            reading.leave(path, f"{error} - at `$.{path}`")
            return _LEFT
        if reading.invalid and type(value) is str and _REPLACED in value:
            reading.leave(path, reading.invalid)  # two ids could become one
            return _LEFT
        return value

    def _lines(self, name: str, line: _Object, raw: msgspec.Raw, reading: Reading) -> Any:
        if _is_null(raw):
            return None
        try:
            entries = _LIST.decode(raw)
        except msgspec.ValidationError as error:
            numbered = _numbered(raw)
            if numbered is None:
                reading.leave(f"{self._path}.{name}", str(error))
                return _LEFT
            entries = numbered
        lines = [line.read_object(entry, reading) for entry in entries]
        for entry, made in zip(entries, lines, strict=True):
            if made is None or (made is _LEFT and _is_empty_list(entry)):
                reading.leave(line._path, "Expected `object`")
        return [made for made in lines if made is not None and made is not _LEFT]


_LEFT: Any = MappingProxyType({})
"""Stands for a field that is left out."""


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
