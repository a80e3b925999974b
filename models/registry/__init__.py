"""Model versions and their aliases.

In: a folder. Out: a loaded `Model`, or an error that says why it is refused. Begin at
`registry.py`; `aliases.py` tells which version is the champion.
"""
