"""`hark dead-letters`: list, show and replay what was refused.

Begin at `command.py`; `letters.py` reads the topic.
"""
