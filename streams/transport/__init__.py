"""Kafka to record batches, and acks back to Kafka.

In: partitions of the consumer group. Out: record batches in order, a `RecordBatch` per fetch;
commits of the acked prefix. Begin at `transport.py`.
"""
