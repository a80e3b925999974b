"""Model versions and their aliases.

In: a folder. Out: a loaded `Model`, or why it is refused. Begin at `registry.py`; `aliases.py` says
which version is the champion.
"""
