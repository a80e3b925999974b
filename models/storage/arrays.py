"""Arrays of an artefact, read from unchecked bytes.

numpy's reader allocates as much as a header claims, and the zip reader as much as an entry claims.
Here a claim that the bytes don't match is refused before anything is allocated.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ArtefactError

Array = npt.NDArray[Any]
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def from_npy(data: bytes, name: str) -> Array:
    """Read the array of a `.npy` file: finite numbers or bools, as many as its header says.

    Raises
    ------
    ArtefactError
        The file is invalid. The message names it and says what is wrong.
    """
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _READERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ArtefactError(f"{name} is no array: {type(error).__name__}") from error
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ArtefactError(f"{name} holds {dtype.kind!r}, not numbers (allow_pickle stays off)")
    start = stream.tell()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ArtefactError(f"{name}: shape {shape} doesn't fit its {len(data)} bytes")
    flat = np.frombuffer(data, dtype, offset=start)
    if dtype.kind == "f" and not np.isfinite(flat).all():
        raise ArtefactError(f"{name} holds numbers that aren't finite")
    return flat.reshape(shape, order="F" if fortran else "C")


def from_npz(data: bytes, name: str) -> dict[str, Array]:
    """Read the arrays of an uncompressed `.npz` file, by name.

    Raises
    ------
    ArtefactError
        The file is invalid. The message names it and says what is wrong.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ArtefactError(f"{name} is compressed")
            if sum(entry.file_size for entry in entries) > len(data):
                raise ArtefactError(f"{name} claims more than its {len(data)} bytes")
            return {
                entry.filename.removesuffix(".npy"): from_npy(
                    archive.read(entry), f"{name}/{entry.filename}"
                )
                for entry in entries
            }
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise ArtefactError(f"{name} is no npz archive: {error}") from error
