"""The event log on disk, for training beyond Kafka's retention.

In: committed records. Out: each record once, in parquet files; forgotten users erased. Begin at
`copy.py`; `rerun.py` reads it as a worker would.
"""
