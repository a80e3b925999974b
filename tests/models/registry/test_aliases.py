"""Names of versions move all at once, and lead nowhere but to versions."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.registry import aliases, registry, verdicts
from models.storage import artefact, lock
from ops.training.models_command import models
from schemas.errors import ArtefactError, BusyError, TransientError
from tests.models.versions import store, version_files


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return version_files([f"item-{i}" for i in range(30)])


def test_promotion_remembers_the_way_back(tmp_path: Path, files: dict[str, bytes]) -> None:
    one, two = store(tmp_path, files, seed=1), store(tmp_path, files, seed=2)
    assert aliases.resolve(tmp_path, "champion") is None
    aliases.promote(tmp_path, one)
    aliases.promote(tmp_path, one)
    assert aliases.named(tmp_path) == {"champion": one}
    aliases.challenge(tmp_path, two)
    assert aliases.named(tmp_path) == {"champion": one, "challenger": two}
    aliases.promote(tmp_path, "challenger")
    assert registry.load(tmp_path).version == two
    assert aliases.named(tmp_path) == {"champion": two, "previous": one}
    assert aliases.rollback(tmp_path) == one
    assert registry.load(tmp_path).version == one
    assert aliases.rollback(tmp_path) == two


def test_a_damaged_version_is_never_promoted(tmp_path: Path, files: dict[str, bytes]) -> None:
    good, bad = store(tmp_path, files, seed=1), store(tmp_path, files, seed=2)
    aliases.promote(tmp_path, good)
    (tmp_path / bad / "item_table.npy").write_bytes(b"")
    for name in (aliases.promote, aliases.challenge):
        with pytest.raises(ArtefactError):
            name(tmp_path, bad)
    assert aliases.named(tmp_path) == {"champion": good}


def test_what_can_t_be_read_at_the_moment_is_neither_absent_nor_damaged(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, newer = store(tmp_path, files, seed=1), store(tmp_path, files, seed=2)
    aliases.promote(tmp_path, champion)
    opened, plain = Path.open, os.open

    def no_handle(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "champion":
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *arguments, **options)

    def fails(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("model.onnx"):
            raise OSError(errno.EIO, "Input/output error")
        return plain(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", no_handle)
        for change in (
            lambda: registry.prune(tmp_path, 0),
            lambda: aliases.promote(tmp_path, newer),
        ):
            with pytest.raises(TransientError, match="can't be read"):
                change()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(artefact.UnreadableError):  # the gate doesn't go on without a champion
            registry.load(tmp_path, champion)
    assert aliases.named(tmp_path) == {"champion": champion}
    assert registry.versions(tmp_path) == [champion, newer]


def test_names_lead_nowhere_else(tmp_path: Path, files: dict[str, bytes]) -> None:
    root, secret = tmp_path / "registry", tmp_path / "secret"
    secret.write_text("the password")
    version = store(root, files)
    for name in ("../secret", "..", "/etc/passwd", "", ".training.lock", f"../registry/{version}"):
        with pytest.raises(ArtefactError, match="neither a version nor an alias"):
            aliases.resolve(root, name)
    (root / "champion").symlink_to(secret)
    (root / "previous").write_text("../secret")
    for name in ("champion", "previous"):
        with pytest.raises(ArtefactError, match="doesn't hold a version") as error:
            registry.load(root, name)
        assert "password" not in str(error.value)
    with pytest.raises(ArtefactError, match="hark train"):
        registry.load(tmp_path / "nowhere")
    with pytest.raises(ArtefactError, match="no previous"):
        aliases.rollback(tmp_path / "nowhere")


def test_an_alias_that_holds_nonsense_can_be_put_right(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    version = store(tmp_path, files, heads={})
    (tmp_path / "champion").write_text("nonsense")
    assert row(tmp_path, version)["alias"] == ""
    assert invoke(tmp_path, "promote", version) == f"champion: {version}\n"
    assert aliases.named(tmp_path) == {"champion": version}


@pytest.mark.parametrize("text", ["", "[]", '{"gate": 3}', '{"gate": {}}', '{"operator": [1]}'])
def test_a_decision_that_somebody_broke_is_none(
    tmp_path: Path, files: dict[str, bytes], text: str
) -> None:
    version = store(tmp_path, files, heads={})
    (tmp_path / version / verdicts.DECISION).write_text(text)
    assert row(tmp_path, version)["decision"] is None
    assert "No gate has looked at it." in invoke(tmp_path, "show", version)
    assert invoke(tmp_path, "promote", version) == f"champion: {version}\n"
    assert row(tmp_path, version)["decision"] == "promoted by operator"


def _swaps(root: Path, versions: list[str], until: float) -> None:
    while time.monotonic() < until:
        for version in versions:
            aliases.promote(root, version)


def test_a_reader_never_sees_half_a_swap(tmp_path: Path, files: dict[str, bytes]) -> None:
    versions = [store(tmp_path, files, seed=seed) for seed in range(2)]
    aliases.promote(tmp_path, versions[0])
    fork = multiprocessing.get_context("fork")
    until = time.monotonic() + 1.5
    writers = [fork.Process(target=_swaps, args=(tmp_path, versions, until)) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = set()
    while time.monotonic() < until:
        seen.add(aliases.resolve(tmp_path, "champion"))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen == set(versions)
    assert set(aliases.named(tmp_path).values()) == set(versions)


def test_prune_keeps_the_newest_and_the_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    found = [store(tmp_path, files, seed=seed) for seed in range(6)]
    for age, version in enumerate(found):
        os.utime(tmp_path / version / artefact.MANIFEST, (age, age))
    aliases.promote(tmp_path, found[0])
    aliases.promote(tmp_path, found[1])
    aliases.challenge(tmp_path, found[2])
    done = json.loads(invoke(tmp_path, "prune", "--keep", "2", "--json"))
    assert done == {"deleted": [found[3]], "kept": [*found[:3], *found[4:]]}
    assert registry.versions(tmp_path) == done["kept"]
    assert registry.prune(tmp_path, 2) == []


def test_prune_leaves_what_is_being_written(tmp_path: Path, files: dict[str, bytes]) -> None:
    for seed in range(3):
        store(tmp_path, files, seed=seed)
    with lock.held(tmp_path / registry.TRAINING_LOCK, "a training"):
        with pytest.raises(BusyError, match="a training"):
            registry.prune(tmp_path, 1)
        assert len(registry.versions(tmp_path)) == 3
    written, killed = tmp_path / ".0123456789ab.1.partial", tmp_path / ".0123456789ab.2.partial"
    written.mkdir()
    killed.mkdir()
    with lock.directory_lock(written):
        assert len(registry.prune(tmp_path, 1)) == 2
        assert written.exists()
        assert not killed.exists()
    registry.prune(tmp_path, 1)
    assert not written.exists()


def test_versions_are_listed_shown_promoted_and_rolled_back(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    one, two = (store(tmp_path, files, seed=seed, heads={}, items=30) for seed in (1, 2))
    aliases.promote(tmp_path, one)
    gate = {"promote": False, "why": "NDCG@10 is worse", "checks": []}
    verdicts.write(tmp_path / two, {"gate": gate})
    aliases.challenge(tmp_path, two)
    assert row(tmp_path, two)["decision"] == "refused"
    assert row(tmp_path, two)["why"] == "NDCG@10 is worse"
    assert invoke(tmp_path, "promote", "challenger") == f"champion: {two}\n"
    assert row(tmp_path, two)["decision"] == "promoted by operator"
    assert (row(tmp_path, two)["alias"], row(tmp_path, one)["alias"]) == ("champion", "previous")
    shown = json.loads(invoke(tmp_path, "show", "--json"))
    assert shown["version"] == two
    assert shown["decision"]["gate"] == gate
    assert [entry["action"] for entry in shown["decision"]["operator"]] == ["promoted"]
    card = invoke(tmp_path, "show")
    assert card.startswith(f"# Model {two}\n")
    assert "Refused by the gate: NDCG@10 is worse." in card
    assert "promoted by an operator" in card
    assert (tmp_path / two / "card.md").read_text() == card
    assert json.loads(invoke(tmp_path, "rollback", "--json")) == {"champion": one}
    assert registry.load(tmp_path).version == one


def row(root: Path, version: str) -> dict[str, Any]:
    rows = json.loads(invoke(root, "list", "--json"))
    found: dict[str, Any] = next(row for row in rows if row["version"] == version)
    return found


def invoke(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(models, [*arguments, "--registry", str(root)])
    assert done.exit_code == 0, done.output
    return done.stdout
