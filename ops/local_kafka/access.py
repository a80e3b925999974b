"""The access folder of a local cluster: its authority, and what each role logs in with.

::

    access/              mode 0700
      ca.pem             whom clients trust
      ca.key             signs certificates
      broker.pem         key and certificate of the brokers themselves
      <role>.password    for SASL (SCRAM-SHA-512)
      <role>.pem         key and certificate, instead of a password
      <role>.toml        the settings: `HARK_CONFIG=access/<role>.toml hark ...`
      <role>.env         the same as variables, for a shell

Everything but `ca.pem` is readable by its owner only.
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ops.local_kafka.private_file import private_folder, write_private
from schemas.errors import ConfigError
from schemas.roles import ROLES
from streams.kafka.settings import Kafka

BROKER = "broker"
"""The user that the brokers are to each other."""
ADMIN = "admin"
"""With the brokers the only one above all rights."""


@dataclass(frozen=True, slots=True)
class Access:
    """The files of one access folder."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    def password_file(self, role: str) -> Path:
        """Its password, and nothing else."""
        return self.folder / f"{role}.password"

    def certificate_file(self, user: str) -> Path:
        """Key and certificate of a role or of the brokers."""
        return self.folder / f"{user}.pem"

    def settings_file(self, role: str) -> Path:
        """What a role's commands are given."""
        return self.folder / f"{role}.toml"

    def create(self) -> None:
        """Make what is missing or ends soon: certificates, and a password for each role."""
        from ops.local_kafka.certificates import Authority

        private_folder(self.folder)
        authority = Authority(self.folder)
        for user in (BROKER, *ROLES):
            authority.ensure(user, self.certificate_file(user))
        for role in ROLES:
            if not self.password_file(role).is_file():
                write_private(self.password_file(role), f"{secrets.token_urlsafe(24)}\n".encode())

    def passwords(self) -> dict[str, str]:
        """Password by role."""
        return {role: self.password_file(role).read_text().strip() for role in ROLES}

    def describe(self, bootstrap_servers: str) -> None:
        """Write each role's settings for a cluster at `bootstrap_servers`."""
        for role in ROLES:
            values = {
                "bootstrap_servers": bootstrap_servers,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "username": role,
                "password_file": str(self.password_file(role)),
                "ca_file": str(self.ca_file),
            }
            lines = "".join(f"{name} = {_quoted(value)}\n" for name, value in values.items())
            toml = f"# {ROLES[role]}\n[kafka]\n{lines}"
            env = "".join(
                f"export HARK_KAFKA__{name.upper()}={_quoted(value)}\n"
                for name, value in values.items()
            )
            write_private(self.settings_file(role), toml.encode())
            write_private(self.folder / f"{role}.env", env.encode())

    def settings(self, role: str) -> dict[str, Any]:
        """The section `kafka` of a role's file.

        Raises
        ------
        ConfigError
            There is no such file, or it isn't one.
        """
        file = self.settings_file(role)
        try:
            section = tomllib.loads(file.read_bytes().decode())["kafka"]
            Kafka.model_validate(section)
        except FileNotFoundError:
            raise ConfigError(f"{file}: no such file; each role's part needs one") from None
        except OSError as error:
            raise ConfigError(f"{file}: can't be read ({error.strerror})") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, ValidationError) as error:
            raise ConfigError(f"{file}: not settings of Kafka ({type(error).__name__})") from None
        # Over what another user had set.
        return {"password": None, "password_file": None, **section}

    def by_certificate(self, user: str, servers: str) -> dict[str, Any]:
        """Arguments of an aiokafka client that logs in with a certificate instead."""
        return Kafka(
            bootstrap_servers=servers,
            security_protocol="SSL",
            ca_file=self.ca_file,
            certificate_file=self.certificate_file(user),
            key_file=self.certificate_file(user),
        ).client()


def _quoted(text: str) -> str:
    """As both TOML and a shell read it."""
    if any(character in text for character in '"\\$`\n'):
        raise ConfigError(f"{text!r}: a path with such characters can't be written into settings")
    return f'"{text}"'
