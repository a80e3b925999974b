"""`hark topics`: create, check and list topics; grant access rights.

Begin at `command.py`.
"""
