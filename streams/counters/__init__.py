"""Counters over all users of a partition: items, co-visits, risk entities.

In: accepted events. Out: suggestions and the context of each decision point. Begin at
`counters.py`.
"""
