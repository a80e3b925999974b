"""What a model sees of a user at a decision point.

In: `Windows`, a user's last events and running sums. Out: a matrix of features and the engine's
inputs, the same in serving and training. Begin at `table.py`, the list of features.
"""
