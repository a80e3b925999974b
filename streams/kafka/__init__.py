"""Kafka outside the consumer group: settings, connections, checks of topics, the producer.

In: settings. Out: connected clients with the rights they need, or one line that says what is wrong.
Begin at `settings.py`; `producer.py` publishes the worker's outputs.
"""
