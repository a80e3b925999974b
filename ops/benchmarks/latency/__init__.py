"""`hark bench latency`: how long an event waits for its list, by the broker's clock.

In: events at fixed rates. Out: milliseconds and cores of Hark and of a hand-written loop, alone and
while a worker joins, leaves or is killed. Begin at `command.py`; `loop.py` is the rival.
"""
