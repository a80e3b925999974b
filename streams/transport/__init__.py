"""Kafka to record batches, and acks back to Kafka.

In: partitions of the consumer group. Out: one `RecordBatch` per fetch, in order; commits of what
was acked without a gap. Begin at `transport.py`.
"""
