"""Files of events: any usual form of table, time and number.

In: a path and a mapping of columns. Out: a frame of events, and what could not be read, by column,
value and row. Begin at `event_file.py`; `adapters.py` knows public data sets.
"""
