"""From candidates to a ranked list.

In: candidates of the engine, the user's own items and live counters. Out: scores that order them.
Begin at `ranker.py`.
"""
