"""A model version as a directory of plain files, addressed by its content.

::

    <root>/<version>/model.onnx        the graph, fp32
                     model.fp16.onnx   the same in fp16, for a GPU
                     network.safetensors  its weights by name: a training goes on from them
                     item_table.npy    float32 (N + 1, d)
                     item_bias.npy     float32 (N + 1,)
                     items.json        N item ids; row r of the table is items[r - 1]
                     heads.json        churn and risk: weights of the logits of network and
                                       trees, calibration; null if not shipped
                     trees_churn.txt   LightGBM models as text, "none" where a head has none
                     trees_risk.txt
                     ranker.json       candidate weights, or null
                     golden.npz        inputs, and the outputs that any engine must reproduce
                     manifest.json     sha256 of each file above, and how the version was made
                     decision.json     decisions of the gate and the operator about it
                     card.md           manifest and decisions, for people

The version's name is the hash of its manifest, so a changed byte anywhere makes another version or
is refused. No file is parsed before its hash is verified, and nothing is pickled. The last two
files are about a version, not part of it (ADR 0007).
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.storage import lock
from schemas.errors import ArtefactError, TransientError

FORMAT = 2
MANIFEST = "manifest.json"
PARTIAL = ".partial"
MAX_FILE_BYTES = 16 << 30
"""30 million items at d = 128; a larger file is refused."""
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT,
            errno.EACCES, errno.EPERM}  # fmt: skip
FILES = (
    "model.onnx",
    "model.fp16.onnx",
    "item_table.npy",
    "item_bias.npy",
    "items.json",
    "heads.json",
    "trees_churn.txt",
    "trees_risk.txt",
    "ranker.json",
    "golden.npz",
)

WEIGHTS = "network.safetensors"
"""Weights of the network. Only the trainer reads them; a version may lack them."""


class UnreadableError(ArtefactError, TransientError):
    """A file exists and can't be read at the moment; the version itself may be fine."""


def to_json_bytes(value: Any) -> bytes:
    """Canonical JSON: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def to_npy_bytes(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def to_npz_bytes(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    # savez stamps no clock into the archive: the same arrays give the same bytes.
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def write(root: Path, files: dict[str, bytes], manifest: dict[str, Any]) -> str:
    """Store a version and return its name; storing the same content again is a no-op.

    The directory appears complete or not at all.

    Raises
    ------
    ArtefactError
        A file is missing or unknown.
    TransientError
        The version can't be written, for example because the disk is full.
    """
    missing = set(FILES) ^ (set(files) - {WEIGHTS})
    if missing:
        raise ArtefactError(
            f"missing or unknown files: {', '.join(sorted(missing))}; a version consists of "
            f"{', '.join(FILES)}"
        )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = to_json_bytes({**manifest, "format": FORMAT, "files": digests})
    version = hashlib.sha256(text).hexdigest()[:12]
    target = root / version
    if target.is_dir():
        return version
    partial = root / f".{version}.{os.getpid()}{PARTIAL}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        _store(partial, target, {**files, MANIFEST: text})
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TransientError(
            f"a version can't be stored in {root}: {error.strerror or error}; make room there and "
            "run it again"
        ) from error
    return version


def _store(partial: Path, target: Path, files: dict[str, bytes]) -> None:
    """Write `files` into `partial`, then rename it to `target`."""
    partial.mkdir()
    with lock.directory_lock(partial):  # so that `sweep` in another process leaves it alone
        for name, data in files.items():
            write_durably(partial / name, data)
        sync_directory(partial)
        try:
            partial.rename(target)
        except OSError:
            # Another process stored the same content first.
            shutil.rmtree(partial)
            if not target.is_dir():
                raise
    sync_directory(target.parent)


def sweep(root: Path) -> None:
    """Remove the partial directories of killed writers; those of running writers stay."""
    for partial in root.glob(f".*{PARTIAL}"):
        if partial.is_dir():
            if lock.is_free(partial):
                shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def remove(root: Path, version: str) -> None:
    """Delete a version: rename it away first, so that no reader sees half of it."""
    hidden = root / f".{version}.{os.getpid()}{PARTIAL}"
    (root / version).rename(hidden)
    shutil.rmtree(hidden)


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read the manifest and check its hash against the directory's name.

    Raises
    ------
    ArtefactError
        The manifest is missing, changed, or of another format.
    UnreadableError
        The manifest can't be read at the moment.
    """
    text = _read(directory / MANIFEST)
    if hashlib.sha256(text).hexdigest()[:12] != directory.name:
        raise ArtefactError(f"{directory / MANIFEST} was changed: its hash isn't its version")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise ArtefactError(f"{directory / MANIFEST} isn't JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError(f"{directory} is not of artefact format {FORMAT}; update Hark")
    has_features = isinstance(manifest.get("feature_set_hash"), str)
    if not isinstance(manifest.get("files"), dict) or not has_features:
        raise ArtefactError(f"{directory / MANIFEST} lists no files or no feature set")
    return manifest


def read_files(
    directory: Path, manifest: dict[str, Any], names: Sequence[str] = FILES
) -> dict[str, bytes]:
    """Read files and check their hashes against the manifest.

    Raises
    ------
    ArtefactError
        A file is missing, corrupt or truncated.
    UnreadableError
        A file can't be read at the moment.
    """
    files = {}
    for name in names:
        data = _read(directory / name)
        if hashlib.sha256(data).hexdigest() != manifest["files"].get(name):
            raise ArtefactError(
                f"{directory / name} is corrupt or truncated ({len(data)} bytes): "
                "its sha256 isn't the manifest's"
            )
        files[name] = data
    return files


def write_durably(path: Path, data: bytes) -> None:
    """Write and fsync a file: after a power cut it is whole, or its directory entry is absent."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Replace a file atomically: a reader sees the old content or the new content."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    write_durably(partial, data)
    partial.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        # A plain open() of a pipe would wait for ever, and a device never ends.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ArtefactError(f"{path} isn't a file")
            if status.st_size > MAX_FILE_BYTES:
                raise ArtefactError(f"{path} has {status.st_size} bytes, at most {MAX_FILE_BYTES}")
            return file.read()
    except OSError as error:
        kind = UnreadableError if error.errno in _PASSING else ArtefactError
        raise kind(f"{path} can't be read: {error.strerror}") from error
