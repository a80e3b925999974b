"""Topics, access rights and logins on any cluster.

In: the table of topics and roles. Out: what was made, and what differs. Begin at `topics.py`.
"""
