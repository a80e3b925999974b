"""Pseudonyms: user ids that only the holder of the key can compute.

`h1:<key id>:<digest>`: HMAC-SHA-256 (RFC 2104) of the id in UTF-8 under a secret key, the first
160 bits in lower-case base32 without padding. An id always gets the same pseudonym under the same
key, so histories and answers work as before. Without the key nobody can reverse a pseudonym, or
find it by trying ids. The key id names the key, so that keys can be rotated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ConfigError

SCHEME = "h1"
MIN_KEY_BYTES = 32
_DIGEST_BYTES = 20
_PSEUDONYM = re.compile(r"h1:[A-Za-z0-9_-]{1,32}:[a-z2-7]{32}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Makes pseudonyms under one key.

    Attributes
    ----------
    key
        Secret, at least 32 bytes.
    key_id
        The key's public name: 1 to 32 letters, digits, `_` or `-`.

    Examples
    --------
    >>> Pseudonyms(b"0123456789abcdef0123456789abcdef", "k1").of("u-4711")
    'h1:k1:6qjdhthxuyihsyst6kv45iu3epd4hta7'
    """

    key: bytes = field(repr=False)
    key_id: str

    def __post_init__(self) -> None:
        if len(self.key) < MIN_KEY_BYTES:
            raise ConfigError(f"the pseudonym key has {len(self.key)} bytes, at least "
                              f"{MIN_KEY_BYTES} are needed (openssl rand -hex 32)")  # fmt: skip
        if not _KEY_ID.fullmatch(self.key_id):
            raise ConfigError(f"privacy.key_id {self.key_id!r}: 1 to 32 letters, digits, _ or -")

    def of(self, user_id: str) -> str:
        """The pseudonym of an id. A pseudonym is returned unchanged, so renaming twice is safe."""
        if is_pseudonym(user_id):
            return user_id
        digest = hmac.new(self.key, user_id.encode(), hashlib.sha256).digest()[:_DIGEST_BYTES]
        return f"{SCHEME}:{self.key_id}:{base64.b32encode(digest).decode().lower()}"


def is_pseudonym(user_id: str) -> bool:
    """Whether an id has the form of a pseudonym."""
    return _PSEUDONYM.fullmatch(user_id) is not None


def read_key(file: Path) -> bytes:
    """The key in a file: its bytes without surrounding white space.

    Raises
    ------
    ConfigError
        The file doesn't exist, or users other than its owner may read it.
    """
    if file.exists() and not file.is_file():  # to open a pipe would be to wait for its writer
        raise ConfigError(f"privacy.key_file {file}: no regular file")
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if mode & 0o077:
                raise ConfigError(
                    f"privacy.key_file {file}: others may read it (mode {mode & 0o777:o}); "
                    f"chmod 600 {file}"
                )
            return opened.read(4096).strip()
    except OSError as error:
        raise ConfigError(f"privacy.key_file {file}: {error.strerror}") from None
