"""A synthetic shop whose truth is known.

In: a seed and sizes. Out: events with structure to find and frauds to catch. Begin at
`simulation.py`.
"""
