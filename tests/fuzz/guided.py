"""The codec under atheris: inputs guided by which lines they reach. `make fuzz` runs it.

    python -m tests.fuzz.guided -max_total_time=60 [folder of inputs]

A finding ends it with a traceback and a `crash-*` file; `python -m tests.fuzz.guided FILE` plays
that file again.
"""

from __future__ import annotations

import json
import sys

import atheris

from schemas.documents import examples

with atheris.instrument_imports(include=["schemas", "streams"]):
    from tests.fuzz import codec
    from tests.fuzz.codec_inputs import NOW_MS, Batch

_HEADERS = ("ce_id", "ce_type", "ce_time", "ce_subject")


def make(data: bytes) -> Batch:
    """One record: a byte that says which headers it has and when it came, then its parts."""
    if not data:
        return Batch([b""], [()], [None], [NOW_MS])
    choice, *parts = data[:1], *data[1:].split(b"\0" * 4)
    flags = choice[0]
    given = [name for bit, name in enumerate(_HEADERS) if flags >> bit & 1]
    headers = tuple(zip(given, parts[1:], strict=False))
    times = [NOW_MS, NOW_MS, -1, int.from_bytes(parts[-1][:8], "big", signed=True)]
    return Batch([parts[0]], [headers], [b"u"], [times[flags >> 6]])


def play(data: bytes) -> None:
    """Raise where the answer is wrong."""
    wrong = codec.check(make(data))
    if wrong:
        raise AssertionError(wrong)


def main() -> None:
    """Start from the golden examples."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        for name, payload in examples.valid("events").items():
            Path(folder, name).write_bytes(b"\0" + json.dumps(payload).encode())
        replays = [one for one in sys.argv[1:] if not one.startswith("-")]
        atheris.Setup([*sys.argv, *([] if replays else [folder])], play)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
