"""Hark's kinds of behaviour, and the event names that mean them by default."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType


class Kind(IntEnum):
    """What a user did. The numbers are stored in histories and models: never renumber."""

    PAD = 0
    VIEW = 1
    CART = 2
    PURCHASE = 3
    SEARCH = 4
    SUPPORT = 5
    CANCEL = 6
    PAYMENT = 7
    LOGIN = 8
    REMOVE = 9
    RATE = 10
    LABEL = 11
    OTHER = 12
    IDENTIFY = 13


N_KINDS = 16
"""Size of a table indexed by kind, with room for new kinds."""

DEFAULT_EVENT_NAMES = MappingProxyType(
    {
        "Product Viewed": Kind.VIEW,
        "Product Clicked": Kind.VIEW,
        "Page Viewed": Kind.VIEW,
        "Product Added": Kind.CART,
        "Product Added to Wishlist": Kind.CART,
        "Product Removed": Kind.REMOVE,
        "Order Completed": Kind.PURCHASE,
        "Products Searched": Kind.SEARCH,
        "Product List Viewed": Kind.SEARCH,
        "Support Ticket Opened": Kind.SUPPORT,
        "Order Cancelled": Kind.CANCEL,
        "Order Refunded": Kind.CANCEL,
        "Subscription Cancelled": Kind.CANCEL,
        "Payment Made": Kind.PAYMENT,
        "Signed In": Kind.LOGIN,
        "Product Rated": Kind.RATE,
        "Product Reviewed": Kind.RATE,
        "Fraud Confirmed": Kind.LABEL,
        "Chargeback Received": Kind.LABEL,
    }
)
"""Segment's e-commerce names and a few of Hark's own; `hark.toml` adds to them."""
