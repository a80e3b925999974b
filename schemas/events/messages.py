"""Inbound messages: Segment-shaped behaviour events and catalogue upserts.

The structs document the whole contract, and the JSON Schema is made from them. `EventDecoder`
compiles the part that a product's `Contract` needs, and never builds the other properties.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1, max_length=512)]
Id = Text | int
"""Ids are strings; whole numbers are accepted and become their decimal string."""

Number = int | float | str
"""Money and quantities: a number, or a string that holds one."""

EventType = Literal["track", "identify", "page", "screen", "group", "alias"]
"""`group` and `alias` are accepted and counted, without effect."""


class Product(Struct):
    """One product of an order or a list."""

    product_id: Id | None = None
    sku: Id | None = None
    id: Id | None = None
    price: Number | None = None
    quantity: Number | None = None


class Properties(Struct):
    """The properties that Hark reads. It ignores others, and leaves out values of a wrong type."""

    product_id: Id | None = None
    sku: Id | None = None
    price: Number | None = None
    quantity: Number | None = None
    revenue: Number | None = None
    total: Number | None = None
    value: Number | None = None
    amount: Number | None = None
    category: str | None = None
    products: list[Product] | None = None
    recommendation_id: str | None = None
    payment_id: Id | None = None
    terminal_id: Id | None = None
    payment_method: Id | None = None


class Device(Struct):
    """The device an event came from."""

    id: Id | None = None


class Context(Struct):
    """Where an event came from."""

    device: Device | None = None
    ip: str | None = None


class Event(Struct, rename="camel"):
    """A fact about a user, as Segment's trackers send it. Kafka key: the user id.

    `timestamp` is ISO 8601 (UTC if it names no zone) or epoch milliseconds; without it the
    broker's timestamp counts. Either `userId` or `anonymousId` is required.
    """

    message_id: Id | None = None
    type: EventType = "track"
    user_id: Id | None = None
    anonymous_id: Id | None = None
    event: Text | None = None
    timestamp: int | float | str | None = None
    properties: Properties | None = None
    context: Context | None = None
    traits: dict[str, Any] | None = None


class ItemUpsert(Struct, omit_defaults=True):
    """A catalogue entry. Kafka key: the item id; a null value removes the item."""

    title: str | None = None
    category: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    price: float | None = None
    available: bool = True
    embedding: list[float] | None = None
