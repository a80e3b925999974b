"""Records to columns of events; unreadable records become dead letters.

In: a `RecordBatch`. Out: `Decoded`, the events as columns and the rejections with reasons. Begin at
`decode.py`; `isolation.py` finds the record that makes a later stage raise.
"""
