"""Inbound records: bytes to events.

In: a value, a key and headers. Out: columns, or a reason why not. Begin at `codec.py`;
`contract.py` is the product's own part of it.
"""
