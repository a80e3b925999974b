"""`hark topics grow`: the same log and the same users on more partitions, under another prefix.

In: topics with M partitions, workers and publishers at work. Out: topics with N, their state
written. Begin at `grow.py`; docs/adr/0020 says why the log is copied.
"""
