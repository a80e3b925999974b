"""From scored candidates to the list that goes out.

In: candidates with scores. Out: the allowed items, whether the list is new, and the message. Begin
at `pool.py`; `sent_lists.py` remembers the list that each user was last sent.
"""
