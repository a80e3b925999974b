"""Start training from an earlier version: its network, and its item table by item id.

Items unknown to that version start where co-visitation puts them: least squares over the common
items maps the new SVD table onto the old table, so a new item lies among its neighbours in the
trained space.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load, save
from torch import Tensor

from models.network.network import Network, NetworkConfig
from models.storage import artefact

Floats = npt.NDArray[np.float32]

FEW = 100
"""With fewer common items, the map between the two spaces would be noise."""


@dataclass(frozen=True, slots=True)
class Start:
    """An earlier version's weights.

    Attributes
    ----------
    version
        Name of the version.
    weights
        State of the network.
    rows
        Item id -> row of `item_table` (N + 1, d) and `item_bias` (N + 1,).
    cut_s
        Event time in s; the version's training saw no target at or after it.
    """

    version: str
    config: NetworkConfig
    weights: dict[str, Tensor]
    rows: dict[str, int]
    item_table: Floats
    item_bias: Floats
    cut_s: int

    def fits(self, config: NetworkConfig) -> bool:
        """Whether a network of `config` can take over the weights."""
        return self.config == config


def to_bytes(network: Network) -> bytes:
    """Pack the network's weights as a safetensors file."""
    return save({name: value.contiguous() for name, value in network.state_dict().items()})


def read(directory: Path) -> Start | None:
    """Read the weights of a stored version; None if it was stored without them.

    Raises
    ------
    ArtefactError
        The version is corrupt, or of another format.
    """
    manifest = artefact.read_manifest(directory)
    if artefact.WEIGHTS not in manifest["files"] or "cut_s" not in manifest:
        return None
    files = artefact.read_files(directory, manifest, (*artefact.FILES, artefact.WEIGHTS))
    items: list[str] = json.loads(files["items.json"])
    return Start(
        version=directory.name,
        config=NetworkConfig(**manifest["network"]),
        weights=load(files[artefact.WEIGHTS]),
        rows={item: row for row, item in enumerate(items, start=1)},
        item_table=_array(files["item_table.npy"]),
        item_bias=_array(files["item_bias.npy"]),
        cut_s=int(manifest["cut_s"]),
    )


def _array(data: bytes) -> Floats:
    array: Floats = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def carried_over(
    start: Start, item_ids: list[str], svd_table: Floats, popularity: Floats
) -> tuple[Floats, Floats, int]:
    """Carry an earlier version's item rows over to a new catalogue.

    Parameters
    ----------
    item_ids
        Ids of rows 1..N of the new table.
    svd_table, popularity
        float32 (N + 1, d) and (N + 1,): table and bias of a cold start.

    Returns
    -------
    Item table float32 (N + 1, d), bias float32 (N + 1,), and the number of items carried over.
    """
    old = np.array([0, *(start.rows.get(item, -1) for item in item_ids)], dtype=np.int64)
    known = old >= 0
    table, bias = svd_table.copy(), popularity.copy()
    both = np.flatnonzero(known)[1:]
    if len(both) >= max(FEW, svd_table.shape[1]):
        turn = np.linalg.lstsq(svd_table[both], start.item_table[old[both]], rcond=None)[0]
        table = (svd_table @ turn).astype(np.float32)
    if len(both):
        bias += float(np.mean(start.item_bias[old[both]] - popularity[both]))
    table[known], bias[known] = start.item_table[old[known]], start.item_bias[old[known]]
    bias[0] = 0.0  # export sets the served bias of row 0
    return table, bias, len(both)
