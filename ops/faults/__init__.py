"""`hark bench faults`: kills, freezes and cuts off; counts what was lost.

In: a seed and minutes. Out: lost, missing, unexpected and different, all counted. Begin at
`run.py`.
"""
