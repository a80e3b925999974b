"""`hark evaluate`: Hark against simpler methods on public data.

In: a data set and its protocol. Out: figures with intervals and pictures. Begin at `command.py`.
"""
