"""A partition's state on Kafka: saved, restored, moved between workers.

In: the state and what changed in it. Out: one transaction per checkpoint; after a rebalance, the
state as of the committed offset. Begin at `schedule.py` (saving) and `ownership.py` (restoring).
"""
