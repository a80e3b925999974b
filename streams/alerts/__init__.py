"""From probabilities to alerts that open, escalate and close.

In: calibrated probabilities at decision points. Out: firing and resolved alerts with reasons. Begin
at `book.py`.
"""
