"""The topic `items`: each item's catalogue entry, whatever the order of reading.

In: every partition of `items`. Out: an item table with categories, prices and availability; dead
letters for entries that can't be read. Begin at `catalogue.py`.
"""
