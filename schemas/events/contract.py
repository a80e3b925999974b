"""How a product's vocabulary maps to Hark's: event names, watched entities, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.errors import ConfigError
from schemas.events.kinds import DEFAULT_EVENT_NAMES, Kind
from schemas.times import OLDEST_MS

DEFAULT_ENTITIES = (
    "properties.terminal_id",
    "context.device.id",
    "context.ip",
    "properties.payment_method",
)


@dataclass(frozen=True, slots=True)
class Contract:
    """What decoding needs to know about a product.

    Attributes
    ----------
    event_names
        Event name -> kind. A name that isn't listed is accepted as `Kind.OTHER` and counted.
    entities
        Dotted paths of the entities watched for risk; the order is the column order.
    reference
        Dotted path, in a label event, of the message id that the label confirms.
    max_event_bytes
        Larger values are dead letters.
    oldest_ms, future_ms
        Events dated before `oldest_ms` (epoch ms) are dead letters. Events dated more than
        `future_ms` after the broker's timestamp get that timestamp and are counted.
    """

    event_names: Mapping[str, Kind] = field(default_factory=lambda: dict(DEFAULT_EVENT_NAMES))
    entities: tuple[str, ...] = DEFAULT_ENTITIES
    reference: str = "properties.payment_id"
    max_event_bytes: int = 1_000_000
    oldest_ms: int = OLDEST_MS
    future_ms: int = 300_000

    def __post_init__(self) -> None:
        for path in (*self.entities, self.reference):
            parts = path.split(".")
            if parts[0] not in ("properties", "context", "traits") or not all(parts[1:2]):
                raise ConfigError(
                    f"entity path {path!r}: must start with properties., context. or traits. "
                    "(hark.toml, [contract])"
                )


def contract_from_names(names: Mapping[str, str], **settings: object) -> Contract:
    """Contract with `names` (event name -> kind name, as in `hark.toml`) added to the defaults.

    Raises
    ------
    ConfigError
        A kind is unknown.
    """
    kinds = dict(DEFAULT_EVENT_NAMES)
    for name, kind in names.items():
        try:
            kinds[name] = Kind[kind.upper()]
        except KeyError:
            known = ", ".join(k.name.lower() for k in Kind if k is not Kind.PAD)
            raise ConfigError(
                f"event {name!r}: unknown kind {kind!r} (hark.toml, [events]); use one of {known}"
            ) from None
    return Contract(event_names=kinds, **settings)  # type: ignore[arg-type]
