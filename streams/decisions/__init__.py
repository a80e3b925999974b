"""What goes out: lists and alerts, from the answers of the model or of the counters.

In: batches that the histories and counters have taken in, of one partition or of several. Out: the
messages of each. Begin at `decider.py`; `answers.py` asks the model.
"""
