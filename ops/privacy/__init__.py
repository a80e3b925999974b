"""Erasing a user, and pseudonyms.

In: a user id. Out: control records on the log, erased files and a receipt. Begin at
`forget_command.py`.
"""
