"""A partition's state on Kafka: saved, restored, moved between workers.

In: a partition's state, with its changes marked. Out: a transaction per checkpoint; after a
rebalance, the state as of the committed offset. Begin at `schedule.py` (saving) and `ownership.py`
(restoring).
"""
