"""`hark bench`: measures this machine.

Begin at `command.py`; each benchmark is a file, and `*_process.py` what it runs in a process of its
own.
"""
