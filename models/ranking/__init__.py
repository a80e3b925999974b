"""From candidates to a ranked list.

In: candidates from the engine, the user's own items and the live counters. Out: scores that order
them. Begin at `ranker.py`.
"""
