"""Archived records that the workers refused as unprocessable, which training must skip, too.

Such a record left no trace in a worker's state, even if it would break nothing in training.
`<root>/<topic>/refused.json` keeps the offsets by partition: dead letters are kept for 30 days, the
archive for longer. The file holds no payloads and no user ids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.storage.artefact import replace_durably
from ops.dead_letters.letters import Wanted, read_letters
from schemas.errors import ConfigError, Reason
from schemas.topics import TopicSpec

FILE = "refused.json"
Refused = dict[int, frozenset[int]]
"""Partition -> offsets."""


def read_refused(root: Path, topic: str) -> Refused:
    """Read the refused offsets of an archived topic; empty where there is no file.

    Raises
    ------
    ConfigError
        The file exists and can't be read.
    """
    path = root / topic / FILE
    try:
        found = json.loads(path.read_bytes())
        return {int(number): frozenset(offsets) for number, offsets in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"{path} can't be read ({error}): without it training takes in what the workers "
            "refused; restore it from a copy, or delete it to rely on the dead letters alone"
        ) from error


async def learn_refused(client: dict[str, Any], topic: str, root: Path, letters: TopicSpec) -> int:
    """Add the offsets of the current dead letters, and return how many offsets are known.

    Parameters
    ----------
    topic
        Name of the events topic.
    letters
        The topic of the dead letters.
    """
    known = {number: set(offsets) for number, offsets in read_refused(root, topic).items()}
    wanted = Wanted(frozenset({Reason.UNPROCESSABLE.value}))
    async for letter in read_letters(client, letters, wanted):
        if letter.topic == topic:
            known.setdefault(letter.partition, set()).add(letter.offset)
    if known:
        (root / topic).mkdir(parents=True, exist_ok=True)
        text = json.dumps({str(number): sorted(offsets) for number, offsets in known.items()})
        replace_durably(root / topic / FILE, text.encode())
    return sum(map(len, known.values()))
