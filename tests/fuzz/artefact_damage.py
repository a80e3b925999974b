"""Model versions that nobody should have stored: broken in transit, by a bug, or on purpose.

`damage` writes one into a registry. Most have hashes that fit, as somebody with write access to
the registry could make them, because what the hashes catch is caught at once.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.features.features import FEATURE_SET_HASH
from models.storage import artefact

Files = dict[str, bytes]
_SCALARS: list[Any] = [
    None, True, 0, -1, 1e308, 10**400, "", "x" * 1000, [], {}, [[]], float("nan"), "../../etc",
]  # fmt: skip
_TOKENS = ["0", "-1", "-9", "1e999", "nan", "inf", "999999999", "", "x", "9" * 30, "1 2", "-0"]


def damage(rng: random.Random, root: Path, one: Files, other: Files) -> str:
    """Store `one` in `root`, damaged -> its version."""
    files = dict(one)
    manifest: dict[str, Any] = {"feature_set_hash": FEATURE_SET_HASH, "salt": rng.random()}
    if rng.random() < 0.75:
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            name = rng.choice(artefact.FILES)
            files[name] = _inside(rng, name, files[name], other[name])
        if rng.random() < 0.1:
            _edit(rng, manifest)
        return _store(rng, root, files, manifest)
    version = artefact.write(root, files, manifest)
    _outside(rng, root / version)
    return version


def _store(rng: random.Random, root: Path, files: Files, manifest: dict[str, Any]) -> str:
    if rng.random() < 0.1:
        manifest |= {
            "feature_medians": rng.choice([*_SCALARS[:5], {"hour": rng.choice(_SCALARS[:5])}]),
            "heads": rng.choice([{}, None, [], {"churn": None}, {"churn": {"quantiles": []}}]),
        }
    try:
        return artefact.write(root, files, manifest)
    except (ValueError, TypeError):  # NaN isn't JSON
        return artefact.write(root, files, {"feature_set_hash": FEATURE_SET_HASH})


def _inside(rng: random.Random, name: str, data: bytes, other: bytes) -> bytes:
    """Other content of a file, its hash put right."""
    how = rng.random()
    if how < 0.15:
        return other
    if how < 0.4:
        return _bytes(rng, data) if data else data
    special: dict[str, Callable[[random.Random, bytes], bytes]] = {
        "json": _json, "npy": _npy, "npz": _npz, "txt": _text, "onnx": _graph,
    }  # fmt: skip
    try:
        return special[name.rpartition(".")[2]](rng, data)
    except Exception:  # noqa: BLE001 - it was damaged before, so much that nothing can be changed
        return data


def _bytes(rng: random.Random, data: bytes) -> bytes:
    how = rng.randrange(5)
    at = rng.randrange(len(data))
    if how == 0:
        return data[:at]
    if how == 1:
        return rng.randbytes(rng.randrange(300))
    changed = bytearray(data)
    if how == 2:
        del changed[at : at + rng.choice([1, 8, 100])]
        return bytes(changed)
    for _ in range(rng.choice([1, 1, 3, 30])):
        place = rng.randrange(min(len(changed), 2_000) if how == 3 else len(changed))
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _edit(rng: random.Random, node: Any) -> None:
    """Change one value somewhere in a JSON value, in place."""
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or rng.random() < 0.4:
            if isinstance(node, dict) and rng.random() < 0.2:
                del node[key]
            else:
                node[key] = rng.choice(_SCALARS)
            return
        node = node[key]


def _json(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.1:
        return rng.choice([b"[" * 100_000, b"null", b"{}", b"[]", b"1e999", b'"text"', b"NaN"])
    try:
        value = json.loads(data)
    except ValueError:  # damaged before
        return data
    _edit(rng, value)
    return json.dumps(value).encode()


def _npy(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.3:  # a header that lies
        shape = rng.choice(["(1000000000000,)", "(-1, 16)", "(2, 3)", "()", "(0, 16)", "(31, 0)"])
        kind = rng.choice(["<f4", "<f8", "|O", "<c8", "|S9", "<i8", "<M8[s]", "f4,f4", "<f2"])
        head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data[128:]
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False).copy()
        return artefact.to_npy_bytes(_array(rng, array))
    except (ValueError, EOFError, OSError, SyntaxError):
        return data


def _array(rng: random.Random, array: Any) -> Any:
    how = rng.randrange(7)
    if how == 0:
        return array[: len(array) // 2]
    if how == 1:
        return array.astype(rng.choice([np.float64, np.float16, np.int64]))
    if how == 2:
        return np.asfortranarray(array)
    if how == 3:
        return array[None]
    if how == 4:
        return array[:0]
    if array.size:
        odd = [np.nan, np.inf, -np.inf, 3e38, 1e9, -1, 0] if array.dtype.kind == "f" else [
            -1, 2**62, -(2**62), 10**6, 0]  # fmt: skip
        array.flat[rng.randrange(array.size)] = rng.choice(odd)
    return array


def _npz(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.15:  # few bytes that promise many
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in_features.npy", bytes(50_000_000))
        return stream.getvalue()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):
        return data
    if rng.random() < 0.1:
        return artefact.to_npz_bytes({name: array[:0] for name, array in arrays.items()})
    name = rng.choice(list(arrays))
    if rng.random() < 0.15:
        del arrays[name]
    else:
        arrays[name] = _array(rng, arrays[name].copy())
    return artefact.to_npz_bytes(arrays)


def _text(rng: random.Random, data: bytes) -> bytes:
    """One or two numbers or lines of the trees changed."""
    lines = data.decode("utf-8", "replace").splitlines()
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(lines))
        name, equals, value = lines[at].partition("=")
        tokens = value.split(" ")
        if rng.random() < 0.2:
            lines[at] = rng.choice(["", lines[rng.randrange(len(lines))], name])
        elif equals:
            tokens[rng.randrange(len(tokens))] = rng.choice([*_TOKENS, str(rng.randrange(-9, 99))])
            lines[at] = name + equals + " ".join(tokens)
    return "\n".join(lines).encode()


def _graph(rng: random.Random, data: bytes) -> bytes:
    """A graph that is well-formed protobuf, or nearly, and something else than it was."""
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception:  # noqa: BLE001 - damaged before
        return data
    graph = model.graph
    node, weight = rng.choice(graph.node), rng.choice(graph.initializer)
    how = rng.randrange(8)
    if how == 0:
        node.op_type = rng.choice(["Add", "Loop", "NonZero", "ConstantOfShape", "Nonsense", "Tile"])
    elif how == 1 and node.input:
        node.input[0] = rng.choice(["", "nothing", node.output[0], "item_table"])
    elif how == 2 and weight.dims:
        weight.dims[rng.randrange(len(weight.dims))] = rng.choice([0, -1, 1, 10**12, 2**62])
    elif how == 3:
        weight.data_location = onnx.TensorProto.EXTERNAL
        place = rng.choice(["../../../../etc/passwd", "/dev/zero", "weights"])
        weight.external_data.add(key="location", value=place)
    elif how == 4 and weight.data_type == onnx.TensorProto.FLOAT and weight.raw_data:
        filled = np.frombuffer(weight.raw_data, np.float32).copy()
        filled[rng.randrange(len(filled))] = rng.choice([np.nan, np.inf, 1e38, 7.0])
        weight.raw_data = filled.tobytes()
    elif how == 5:
        node.domain = rng.choice(["com.example", "ai.onnx.ml", "com.microsoft"])
    elif how == 6:
        model.opset_import[0].version = rng.choice([1, 9, 99, -1])
    elif how == 7 and graph.output:
        del graph.output[rng.randrange(len(graph.output)) :]
    changed: bytes = model.SerializeToString()
    return changed


def _outside(rng: random.Random, directory: Path) -> None:
    """Damage that the hashes are for, and files that are none."""
    path = directory / rng.choice([*artefact.FILES, artefact.MANIFEST])
    how = rng.randrange(8)
    if how == 0:
        path.write_bytes(_bytes(rng, path.read_bytes()))
        return
    if how == 1:
        (directory / "extra.bin").write_bytes(b"harmless")
        return
    if how == 2:
        text = (directory / artefact.MANIFEST).read_bytes()
        (directory / artefact.MANIFEST).write_bytes(re.sub(rb"model\.onnx", b"../../x", text))
        return
    path.unlink()
    if how == 3:
        path.mkdir()
    elif how == 4:
        os.mkfifo(path)
    elif how == 5:
        path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "nowhere", path.name, "."]))
    elif how == 6:
        with path.open("wb") as file:
            file.truncate(1 << 40)  # sparse
