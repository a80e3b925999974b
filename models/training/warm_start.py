"""Go on from an earlier version: its network, and its item table by stable item id.

Items it didn't know start where co-visitation puts them: the new SVD table is mapped onto the old
one by least squares over the items that both have, so a new item lies among its neighbours in
the trained space.
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
"""With fewer known items the map from the one space to the other means nothing."""


@dataclass(frozen=True, slots=True)
class Start:
    """An earlier version's weights.

    Attributes
    ----------
    version
        Its name.
    weights
        The network's state.
    rows
        Item id -> row of `item_table` (N + 1, d) and `item_bias` (N + 1,).
    cut_s
        Its training saw no target at or after this event time.
    """

    version: str
    config: NetworkConfig
    weights: dict[str, Tensor]
    rows: dict[str, int]
    item_table: Floats
    item_bias: Floats
    cut_s: int

    def fits(self, config: NetworkConfig) -> bool:
        """Whether a network of `config` can take the weights over."""
        return self.config == config


def to_bytes(network: Network) -> bytes:
    """The network's weights as a safetensors file."""
    return save({name: value.contiguous() for name, value in network.state_dict().items()})


def read(directory: Path) -> Start | None:
    """The start that a stored version gives; None if it was stored without weights.

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
    """Item table and bias to go on from, and how many items are known from before.

    Parameters
    ----------
    item_ids
        Id of each row of the new table but row 0.
    svd_table, popularity
        float32 (N + 1, d) and (N + 1,): how a cold start would begin.
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
    bias[0] = 0.0  # the served one is a constant
    return table, bias, len(both)
