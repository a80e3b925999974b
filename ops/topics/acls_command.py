"""`hark topics acls`: print, grant, check or revoke the rights of Hark's roles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.connection import connected_settings
from ops.kafka_admin.acls import Binding, grant, held, revoke
from schemas.roles import ROLES, rights
from streams.kafka.connect import reached
from streams.kafka.settings import Kafka


class Entry(msgspec.Struct, frozen=True):
    """One right as `--json` shows it."""

    principal: str
    operation: str
    resource: str
    name: str
    pattern: str

    @staticmethod
    def of(binding: Binding) -> Entry:
        return Entry(
            binding.principal,
            str(binding.operation),
            str(binding.resource),
            binding.name,
            "prefixed" if binding.prefixed else "literal",
        )


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `--json` prints; lists that the options don't ask for are left out."""

    rights: list[Entry]
    ok: bool | None = None
    missing: list[Entry] | None = None
    beyond: list[Entry] | None = None
    granted: list[Entry] | None = None
    revoked: list[Entry] | None = None


@click.command()
@click.option("--role", type=click.Choice(list(ROLES)), help="One role [default: all].")
@click.option(
    "--principal", metavar="USER", help="The user who has that role [default: the role's name]."
)
@click.option("--apply", "apply_", is_flag=True, help="Grant the missing rights.")
@click.option("--check", is_flag=True, help="Compare with the cluster; exit with 1 if any lacks.")
@click.option("--revoke", "revoke_", is_flag=True, help="Revoke these rights.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def acls(
    context: click.Context,
    *,
    role: str | None,
    principal: str | None,
    apply_: bool,
    check: bool,
    revoke_: bool,
    as_json: bool,
) -> None:
    """Print the rights that each role needs for the set topic prefix and consumer group.

    That needs no cluster. --apply, --check and --revoke need one, and the role admin.
    """
    if apply_ + check + revoke_ > 1:
        raise click.UsageError("one of --apply, --check and --revoke at a time")
    if principal and not role:
        raise click.UsageError("--principal USER says who has the role of --role ROLE")
    kafka = connected_settings("admin").kafka
    wanted = [
        Binding.of(right, _principal(principal or right.role))
        for right in rights(kafka.topic_prefix, kafka.group_id)
        if role in (None, right.role)
    ]
    answer = Answer(_entries(wanted))
    if apply_ or check or revoke_:
        answer = asyncio.run(_work(kafka, wanted, apply_=apply_, revoke_=revoke_))
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        _print(answer)
    context.exit(1 if answer.ok is False else 0)


async def _work(kafka: Kafka, wanted: Sequence[Binding], *, apply_: bool, revoke_: bool) -> Answer:
    async with reached(kafka.client()) as client:
        if apply_:
            return Answer(_entries(wanted), granted=_entries(await grant(client, wanted)))
        if revoke_:
            return Answer(_entries(wanted), revoked=_entries(await revoke(client, wanted)))
        found = await held(client)
    missing = [binding for binding in wanted if binding not in found]
    principals = {binding.principal for binding in wanted}
    beyond = {each for each in found if each.principal in principals} - set(wanted)
    return Answer(
        _entries(wanted), ok=not missing, missing=_entries(missing), beyond=_entries(beyond)
    )


def _principal(user: str) -> str:
    return user if user.startswith("User:") else f"User:{user}"


def _entries(bindings: Iterable[Binding]) -> list[Entry]:
    return sorted(map(Entry.of, bindings), key=msgspec.structs.astuple)


def _print(answer: Answer) -> None:
    console = Console()
    changes = {
        "granted": answer.granted,
        "revoked": answer.revoked,
        "missing": answer.missing,
        "beyond what Hark needs": answer.beyond,
    }
    lists = {title: entries for title, entries in changes.items() if entries is not None}
    if not lists:
        console.print(_table(answer.rights))
    for title, entries in lists.items():
        console.print(f"{title}: {len(entries)} (Hark's rights: {len(answer.rights)})")
        if entries:
            console.print(_table(entries))


def _table(entries: Iterable[Entry]) -> Table:
    table = Table("user", "may", "on", "name", box=None)
    for entry in entries:
        name = f"{entry.name}*" if entry.pattern == "prefixed" else entry.name
        table.add_row(entry.principal, entry.operation, entry.resource, name)
    return table
