"""One tree of errors, by the stage at which each arises.

::

    start      ConfigError      exit before joining the group, one line
    restore    StateError       refuse the saved state, replay the log from its beginning
    fetch      TransientError   bounded retry, then stop with the batch uncommitted
    decode     RejectedRecord   to the dead letters with its reason, then ack
    histories  RejectedRecord   (late)
    load       ArtefactError    refuse the model, keep the old model
    score      EngineError      fall back to the counters, log and count it
    produce    TransientError   bounded retry, then stop with the batch uncommitted
"""

from __future__ import annotations

from enum import StrEnum


class HarkError(Exception):
    """Base of everything Hark raises on purpose; its text is meant for a person."""


class ConfigError(HarkError):
    """A setting, topic or file is wrong. The text says what, where and what to do; don't start."""


class TransientError(HarkError):
    """Something outside the process failed and may recover: a broker, a full disk."""


class BusyError(HarkError):
    """Another process holds the resource; the text names that process."""


class FencedError(HarkError):
    """Another worker has become the writer of the state that this worker wanted to write."""


class EngineError(HarkError):
    """The engine can't score: the worker answers from its counters instead."""


class ArtefactError(HarkError):
    """A model artefact is corrupt, truncated or built for another feature set."""


class StateError(HarkError):
    """A saved state is incomplete or has another layout."""


class Reason(StrEnum):
    """Why a record became a dead letter. The values are part of the wire contract."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    INVALID_UTF8 = "invalid_utf8"
    MALFORMED_JSON = "malformed_json"
    WRONG_TYPE = "wrong_type"
    MISSING_MESSAGE_ID = "missing_message_id"
    MISSING_USER_ID = "missing_user_id"
    MISSING_EVENT_NAME = "missing_event_name"
    MISSING_ITEM_ID = "missing_item_id"
    INVALID_TIMESTAMP = "invalid_timestamp"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    LATE = "late"
    UNPROCESSABLE = "unprocessable"


class RejectedRecord(HarkError):  # noqa: N818 - it names a record, the field's word
    """A record breaks the contract.

    Parameters
    ----------
    reason
        The code that dead letters, metrics and tests use.
    detail
        One line for a person: what was wrong and where.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
