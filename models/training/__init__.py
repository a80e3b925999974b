"""From recorded decisions to a model version.

In: a corpus of events and sampled decision points with labels. Out: weights, heads and a stored
version. Needs torch; a worker never imports it. Begin at `build.py`.
"""
