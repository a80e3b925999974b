"""`hark demo`: everything at once, with a summary.

Begin at `command.py`; `run.py` is the demo, step by step.
"""
