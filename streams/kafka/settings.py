"""The section `kafka`: the brokers' addresses, and how every client of Hark logs in."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from schemas.errors import ConfigError
from schemas.topics import PARTITIONS


class Section(BaseModel):
    """A frozen section that refuses unknown settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="wrap")
    @classmethod
    def _true_is_no_number(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """Pydantic takes `port = true` for 1."""
        found = read(value)
        if type(value) is bool and type(found) is not bool:
            raise ValueError(f"{str(value).lower()} is no number")
        return found


_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\],]+)(:(?P<port>[0-9]{1,5}))?")
AFTER_DRAIN_S = 40.0
"""Time after a drain for the last commit, the last checkpoints and the network."""


class Kafka(Section):
    """The brokers' addresses and the login.

    `SASL_SSL` logs in with `username` and a password from `password_file` or `password`. `SSL` logs
    in with a certificate (`certificate_file`, `key_file`: PEM) if the brokers ask for it. The
    brokers' certificates must be signed by `ca_file`, or by an authority that the system trusts.

    `partitions` is what `hark topics create` gives `events`; an `events` topic that is there has
    its own number.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,200}$")] = ""
    group_id: Annotated[str, Field(min_length=1)] = "hark"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    replication_factor: Annotated[int, Field(ge=1, le=7)] = 1
    partitions: Annotated[int, Field(ge=1, le=10_000)] = PARTITIONS
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = 10.0
    drain_timeout_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    max_fetch_bytes: Annotated[int, Field(gt=0)] = 1_048_576

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, servers: str) -> str:
        """Refuse addresses on which aiokafka would fail with a traceback."""
        addresses = [server.strip() for server in servers.split(",")]
        for address in addresses:
            found = _ADDRESS.fullmatch(address)
            if found is None or not 1 <= int(found["port"] or 9092) <= 65_535:
                raise ValueError(f"{address!r} isn't host:port (several: h1:9092,h2:9092)")
        return ",".join(addresses)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Refuse a half-configured login here; a broker would only hang up."""
        if self.password and self.password_file:
            raise ValueError("password and password_file are both set: choose one")
        if self.security_protocol.startswith("SASL"):
            if not self.username:
                raise ValueError(f"{self.security_protocol} needs a username")
            if not (self.password or self.password_file):
                raise ValueError(f"{self.security_protocol} needs a password or a password_file")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file belong together: set both or neither")
        return self

    @property
    def rebalance_timeout_s(self) -> float:
        """How long members of the group wait for each other in a rebalance, in seconds."""
        return self.drain_timeout_s + AFTER_DRAIN_S

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS context for the brokers, None without TLS.

        Raises
        ------
        ConfigError
            A file doesn't exist, or isn't a certificate or key.
        """
        if "SSL" not in self.security_protocol:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise _unusable("ca_file", self.ca_file, error) from None
        if self.certificate_file and self.key_file:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file)
            except OSError as error:
                raise _unusable("certificate_file", self.certificate_file, error) from None
        return context

    def secret(self) -> str | None:
        """The password from its setting or file; None unless the login is by SASL.

        Raises
        ------
        ConfigError
            `password_file` can't be read or is empty.
        """
        if not self.security_protocol.startswith("SASL"):
            return None
        if self.password_file is None:
            return self.password.get_secret_value() if self.password else None
        try:
            found = self.password_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable("password_file", self.password_file, error) from None
        if not found:
            raise ConfigError(f"kafka.password_file {self.password_file}: it is empty")
        return found

    def client(self) -> dict[str, Any]:
        """Keyword arguments for every aiokafka client; raises `ConfigError` for unusable files."""
        common: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.security_protocol.startswith("SASL"):
            common["sasl_mechanism"] = self.sasl_mechanism
            common["sasl_plain_username"] = self.username
            common["sasl_plain_password"] = self.secret()
        return common


def _unusable(setting: str, file: Path | None, error: Exception) -> ConfigError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return ConfigError(f"kafka.{setting} {file}: can't be used ({why})")
