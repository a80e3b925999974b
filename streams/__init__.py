"""The worker: record batches in from Kafka; recommendations, alerts and dead letters out.

Begin at `worker.py`, which puts the parts together, and at `scoring.py`, the pure part: from a
batch and a partition's state to the outputs to publish.
"""
