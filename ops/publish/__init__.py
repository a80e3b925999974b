"""Publishing events to Kafka.

In: a frame of events. Out: acknowledged records, at a pace. Begin at `publisher.py`;
`replay_command.py` is `hark replay`.
"""
