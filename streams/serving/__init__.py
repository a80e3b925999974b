"""The model that answers.

In: the registry's champion alias. Out: the model bound to this worker's items, swapped without a
lost event. Begin at `champion.py`.
"""
