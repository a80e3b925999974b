"""The topic `items`: what the catalogue says of an item, whatever the order of reading.

In: every partition of `items`. Out: an item table with categories, prices and what is hidden; dead
letters for entries that can't be read. Begin at `catalogue.py`.
"""
