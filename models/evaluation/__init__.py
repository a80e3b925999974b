"""How good a model version is, and whether it may answer.

In: ranks, probabilities and labels. Out: measures with intervals, and the gate's verdict. Begin
at `gate.py`.
"""
