"""`hark train` and the nightly trainer.

In: the archive. Out: a version in the registry, judged against the champion. Begin at
`train_command.py`; `run.py` is the night, stage by stage.
"""
