"""Kafka outside the consumer group: settings, connections, topics, the producer.

In: settings. Out: clients that are connected and allowed, or one line that says why not. Begin at
`settings.py`; `producer.py` publishes what the worker decided.
"""
