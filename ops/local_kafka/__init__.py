"""A real Kafka on this machine, from Python packages alone.

In: a folder and ports. Out: running brokers, with TLS and logins where asked. Begin at
`cluster.py`; `broker.py` is `hark broker`.
"""
