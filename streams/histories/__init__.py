"""Each user's state: the last events and running sums.

In: columns of events in log order. Out: which events were accepted, and the decision points, each
with the history at that event. Begin at `histories.py`; `apply_events.py` is the compiled loop.
"""
