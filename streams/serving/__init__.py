"""The model that answers.

In: the registry's champion alias. Out: the model bound to this worker's items, swapped without
losing an event. Begin at `champion.py`.
"""
