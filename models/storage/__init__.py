"""Files of a model version: written whole, checked by hash, never pickled.

In: bytes by name. Out: a content-addressed folder, or a refusal in one line. Begin at
`artefact.py`.
"""
