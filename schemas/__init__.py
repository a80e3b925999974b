"""The wire contract: events in, outputs out, topics, roles and errors.

Begin at `topics.py`, the list of topics; `events/` reads what comes in, `outputs.py` is what goes
out, `documents/` describes both for others.
"""
