"""From probabilities to alerts with a life.

In: calibrated probabilities at decision points. Out: firing and resolved alerts with reasons. Begin
at `book.py`.
"""
