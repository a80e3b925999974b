"""What is kept of each user: the last events and running sums.

In: columns of events in log order. Out: which were accepted, and the decision points with the
history as it stood at each. Begin at `histories.py`; `take.py` is the compiled loop.
"""
