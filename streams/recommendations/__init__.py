"""From scored candidates to the list that goes out.

In: candidates with scores. Out: what may be shown, whether it is news, and the message. Begin at
`pool.py`; `sent_lists.py` knows what each user was last sent.
"""
