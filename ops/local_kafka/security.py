"""What a secured local broker is told besides: TLS everywhere, logins, and rights.

Three listeners, all on this machine: `SASL` (SASL_SSL, SCRAM) for clients with a password, `TLS`
for those with a certificate and for the brokers among themselves, `CONTROLLER` for the brokers
only. Nobody connects without TLS, nobody without being somebody, and who has no rights may
nothing: only `admin` and the brokers stand above them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops.kafka_admin.acls import Binding, grant
from ops.kafka_admin.scram import set_passwords
from ops.local_kafka.access import ADMIN, BROKER, Access
from ops.local_kafka.config import HOST, Node
from schemas.roles import rights
from streams.kafka.connect import reached


def secured(node: Node, access: Access) -> dict[str, object]:
    """Lines of a node's properties file, over those of `properties`."""
    assert node.tls_port is not None, "a secured node has a port for certificates"
    clients = f"SASL://{HOST}:{node.port},TLS://{HOST}:{node.tls_port}"
    return {
        "listeners": f"{clients},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": clients,
        "listener.security.protocol.map": "SASL:SASL_SSL,TLS:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "TLS",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": access.certificate_file(BROKER),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": access.ca_file,
        "ssl.enabled.protocols": "TLSv1.3",
        "ssl.client.auth": "required",
        "listener.name.sasl.ssl.client.auth": "none",
        # A certificate for CN=worker is the user `worker`: one set of rights for both logins.
        "ssl.principal.mapping.rules": "RULE:^CN=([a-z0-9-]+)$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER};User:{ADMIN}",
    }


def install(servers: str, access: Access, client: dict[str, Any]) -> None:
    """Give a cluster that runs its users and their rights; done again at each start.

    Parameters
    ----------
    servers
        Where users log in.
    client
        Arguments of a client that may do everything.
    """
    # In a thread, because the caller may itself run inside an event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _install(access, client)).result()
    access.describe(servers)


async def _install(access: Access, client: dict[str, Any]) -> None:
    async with reached(client) as connection:
        await set_passwords(connection, access.passwords())
        await grant(connection, [Binding.of(right, f"User:{right.role}") for right in rights()])
