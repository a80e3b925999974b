"""Who isn't let in is told why in one line, at once, and the line holds no password."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.local_kafka.access import Access
from ops.local_kafka.cluster import LocalKafka
from ops.local_kafka.ports import free_ports
from schemas.errors import ConfigError, TransientError
from streams.kafka.connect import reached
from streams.kafka.settings import Kafka
from tests.security.roles import Roles, hark

WRONG = "not-the-password-4711"
Changes = dict[str, Any]


async def why(kafka: Kafka) -> str:
    """The one line that a client of these settings gets."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as error:
        async with reached(kafka.client()):
            pass
    assert time.monotonic() - began < 15
    said = str(error.value)
    assert "\n" not in said
    return said


async def test_each_role_is_let_in_by_password_and_by_certificate(
    secured: LocalKafka, roles: Roles, access: Access
) -> None:
    tls = f"127.0.0.1:{secured.nodes[0].tls_port}"
    for role in ("worker", "reader"):
        async with reached(roles.client(role)) as client:
            assert client.cluster.brokers()
        async with reached(access.by_certificate(role, tls)) as client:
            assert client.cluster.brokers()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password_file": None, "password": WRONG}, "refuses the login of user worker"),
        ({"username": "bob"}, "refuses the login of user bob"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "takes no login by SCRAM-SHA-256"),
        ({"ca_file": None}, "shows a certificate that isn't trusted"),
        ({"security_protocol": "PLAINTEXT"}, "hangs up on a PLAINTEXT connection: it may want TLS"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "it may want TLS"),
        ({"security_protocol": "SSL"}, "it may want a certificate that it trusts"),
    ],
)
async def test_a_wrong_login_is_one_line(roles: Roles, changes: Changes, said: str) -> None:
    line = await why(roles.kafka("worker", **changes))
    assert said in line
    assert WRONG not in line


async def test_another_authority_is_not_trusted_by_clients_nor_by_the_broker(
    secured: LocalKafka, roles: Roles, access: Access, stranger: Access
) -> None:
    foreign = roles.kafka("worker", ca_file=stranger.ca_file)
    assert "shows a certificate that isn't trusted" in await why(foreign)
    certificate = stranger.certificate_file("worker")
    theirs = Kafka(
        bootstrap_servers=f"127.0.0.1:{secured.nodes[0].tls_port}",
        security_protocol="SSL",
        ca_file=access.ca_file,
        certificate_file=certificate,
        key_file=certificate,
    )
    assert "HARK_KAFKA__CERTIFICATE_FILE" in await why(theirs)


async def test_the_brokers_own_listener_takes_no_client_without_a_certificate(
    secured: LocalKafka, access: Access
) -> None:
    for port in (secured.nodes[0].tls_port, secured.nodes[0].controller_port):
        nobody = Kafka(
            bootstrap_servers=f"127.0.0.1:{port}", security_protocol="SSL", ca_file=access.ca_file
        )
        assert "certificate" in await why(nobody)


async def test_a_port_without_tls_is_told_from_one_where_nobody_is(roles: Roles) -> None:
    with hangs_up() as port:
        line = await why(roles.kafka("worker", bootstrap_servers=f"127.0.0.1:{port}"))
        assert "hangs up on a SASL_SSL connection" in line
    nowhere = roles.kafka("worker", bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(TransientError, match="no Kafka at"):
        async with reached(nowhere.client()):
            pass


@pytest.mark.parametrize(
    ("role", "command", "said"),
    [
        ("reader", "worker", "user reader lacks rights of the role worker: Read Topic {0}events"),
        ("worker", "simulate --events 1", "role publisher: Write Topic {0}events"),
        ("publisher", "tail alerts", "role reader: Read Topic {0}alerts"),
        ("reader", "tail dead-letters", "role operator: Read Topic {0}dead-letters"),
        ("reader", "train --archive a", "role trainer: Read Topic {0}items"),
        ("reader", "topics check", "role operator: DescribeConfigs Topic {0}"),
        ("worker", "topics acls --apply", "log in as the role admin"),
    ],
)
def test_a_command_as_the_wrong_user_ends_in_one_line_that_says_what_to_do(
    roles: Roles, tmp_path: Path, role: str, command: str, said: str
) -> None:
    done = hark(roles, tmp_path, role, *command.split())
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said.format(roles.prefix) in lines[0]
    if "lacks rights" in lines[0]:
        assert "`hark topics acls --role " in lines[0]
    assert "Traceback" not in done.stderr + done.stdout


def test_a_worker_with_a_wrong_password_ends_at_once_and_its_log_has_none(
    roles: Roles, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(WRONG)
    done = hark(
        roles, tmp_path, "worker", "worker", "--log-level", "DEBUG",
        HARK_KAFKA__PASSWORD_FILE=str(wrong),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "refuses the login of user worker" in done.stderr
    assert WRONG not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"username": None}, "SASL_SSL needs a username"),
        ({"password_file": None}, "needs a password or a password_file"),
        ({"password": WRONG}, "password and password_file are both set"),
        ({"certificate_file": Path("c.pem")}, "certificate_file and key_file belong together"),
    ],
)
def test_a_half_set_login_is_no_settings(
    secured: LocalKafka, access: Access, changes: Changes, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        Kafka.model_validate({**access.settings("worker"), **changes})
    assert WRONG not in str(error.value)


@pytest.mark.parametrize("setting", ["password_file", "ca_file"])
def test_a_file_that_can_not_be_used_is_named(
    secured: LocalKafka, access: Access, tmp_path: Path, setting: str
) -> None:
    for file in (tmp_path / "nowhere", tmp_path):
        kafka = Kafka.model_validate({**access.settings("worker"), setting: file})
        with pytest.raises(ConfigError, match=f"kafka.{setting} {file}: can't be used"):
            kafka.client()


def test_no_text_of_the_settings_holds_the_password(secured: LocalKafka, access: Access) -> None:
    password = access.passwords()["worker"]
    settings = {**access.settings("worker"), "password_file": None, "password": password}
    kafka = Kafka.model_validate(settings)
    for text in (repr(kafka), str(kafka), kafka.model_dump_json(), repr(kafka.model_dump())):
        assert password not in text
    assert kafka.secret() == password


@contextmanager
def hangs_up() -> Iterator[int]:
    """A port that closes every connection after its first bytes, as Kafka does without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        ending.set()
        socket.create_connection(server.getsockname()).close()
        thread.join(5)
