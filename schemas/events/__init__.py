"""Inbound records: bytes to events.

In: a record's value, key and headers. Out: an event, or the reason of its rejection. Begin at
`codec.py`; `contract.py` holds what the product configures.
"""
