"""What `hark train` does: archive, rerun, train, rank, store, judge, promote.

One run at a time in a registry. A stage writes whole files or nothing; an alias moves at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from models.evaluation.gate import Decision, Limits
from models.registry import aliases, registry, verdicts
from models.storage import artefact, lock
from ops.archive.copy import archive_topic
from ops.archive.files import archived_ends, archived_records
from ops.archive.refused_records import learn_refused
from ops.archive.rerun import rerun
from ops.archive.window import Pruned, Window, prune, window
from ops.training.holdout import Holdout, divide
from ops.training.ledger import Ledger, Plan, digest
from ops.training.questions import Asked, Keeper
from ops.training.samples import Bounds, LabelRules, Samples, collect
from ops.training.stages import Stages
from schemas.errors import ArtefactError, ConfigError
from schemas.topics import DEAD_LETTERS, EVENTS, ITEMS
from streams.histories.item_table import ItemTable
from streams.settings import Gate, Settings

if TYPE_CHECKING:
    from models.training.build import Trained
    from models.training.train import Settings as TrainSettings
    from models.training.train import Warm
    from ops.training.ranking import Ranking

log = structlog.get_logger(__name__)
CHECKPOINT = ".training.safetensors"
"""In the registry: where the training loop of a killed nightly run goes on from."""
QUESTIONS = 12_000
"""Kept of the log's end: half teach the ranker, half judge."""


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for.

    Attributes
    ----------
    root, archive
        Of the registry and of the log's Parquet files.
    as_of
        Only events before it count; the run for one date happens once. None: all, every time.
    since_ms
        Where the training window begins; None: `train.window_days` before its end.
    offline
        Use what is archived.
    promote
        Whether the gate may make the version champion.
    """

    settings: Settings
    training: TrainSettings
    rules: LabelRules
    root: Path
    archive: Path
    as_of: datetime | None = None
    since_ms: int | None = None
    offline: bool = False
    promote: bool = True

    @property
    def topics(self) -> tuple[str, str]:
        """Names of the topics to archive."""
        prefix = self.settings.kafka.topic_prefix
        return prefix + ITEMS.name, prefix + EVENTS.name

    @property
    def digest(self) -> str:
        """Hash of everything but log and champion that the version depends on."""
        return digest(
            training=asdict(self.training),
            horizon_s=self.rules.churn_horizon_s,
            gate=self.settings.gate.model_dump(),
            train=self.settings.train.model_dump(),
            since_ms=self.since_ms,
            topics=self.topics,
            promote=self.promote,
        )


def run(job: Job, stages: Stages) -> dict[str, Any]:
    """Archive, train, judge and promote; returns what `hark train --json` prints.

    Raises
    ------
    BusyError
        Another run is training in this registry; the message names it.
    ConfigError
        Under `torchrun`, options that need a single process.
    """
    from models.training.processes import place

    rank, processes = place()
    if processes > 1 and (job.as_of is not None or not job.offline):
        raise ConfigError("under torchrun: hark train --offline, without --as-of")
    if rank:  # it trains along; the first process does the rest
        ends = archived_ends(job.archive, job.topics)
        _learn(job, Plan(None, None, ends, job.digest, _window(job)), stages)
        return {}
    holder = (
        f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%F %H:%M:%SZ}"
    )
    with lock.held(job.root / registry.TRAINING_LOCK, holder):
        with aliases.changing(job.root):
            artefact.sweep(job.root)
        ledger = None if job.as_of is None else Ledger(job.root, job.as_of, job.digest)
        if ledger is not None and (before := ledger.result()) is not None:
            return {**before, "already": True}
        plan = ledger.plan() if ledger else None
        archived, pruned = 0, Pruned()
        if plan is None:
            if not job.offline:
                archived, pruned = _archive(job, stages)
            ends = archived_ends(job.archive, job.topics)
            champion = aliases.resolve(job.root, aliases.CHAMPION)
            as_of = job.as_of.isoformat() if job.as_of else None
            plan = Plan(as_of, champion, ends, job.digest, _window(job))
            if ledger is not None:
                ledger.begin(plan)
        result = {
            "already": False,
            "archived": archived,
            "pruned": pruned.to_json(),
            **_train(job, plan, stages),
        }
        if ledger is not None:
            ledger.end(result)
            (job.root / CHECKPOINT).unlink(missing_ok=True)
        return result


def _window(job: Job) -> Window | None:
    before_ms = None if job.as_of is None else round(job.as_of.timestamp() * 1000)
    train = job.settings.train
    return window(job.archive, job.topics[1], train, before_ms=before_ms, since_ms=job.since_ms)


def _archive(job: Job, stages: Stages) -> tuple[int, Pruned]:
    """Copy what is missing of the window, delete what is older -> records copied, what went."""
    client, events = job.settings.kafka.client(), job.topics[1]
    letters = replace(DEAD_LETTERS, name=job.settings.kafka.topic_prefix + DEAD_LETTERS.name)
    prunes, pruned = job.settings.train.prune_archive, Pruned()
    before = _window(job) if prunes else None
    with stages.stage("archive"):
        archived = sum(
            asyncio.run(
                archive_topic(
                    client,
                    topic,
                    job.archive,
                    lambda done, total: stages.show(done / max(total, 1), f"{done:,} records"),
                    since_ms=before.kept_ms if before and topic == events else None,
                )
            )
            for topic in job.topics
        )
        asyncio.run(learn_refused(client, events, job.archive, letters))
        after = _window(job) if prunes else None
        if after is not None:
            pruned = prune(job.archive, events, after.kept_ms)
    return archived, pruned


def _learn(job: Job, plan: Plan, stages: Stages) -> tuple[Samples, Holdout, ItemTable, Trained]:
    """From the archived log to a trained network, with all processes of `torchrun` together."""
    from models.training import build

    with stages.stage("rerun"):
        samples, asked, items = _rerun(job, plan, stages)
        holdout = divide(samples, asked, job.settings.gate.window, job.training.seed)
    learnt = holdout.training
    with stages.stage("train"):
        trained = build.train_version(
            learnt.corpus,
            len(learnt.item_index),
            job.training,
            horizon_s=learnt.horizon_s,
            label_delay_s=learnt.label_delay_s,
            progress=stages.show,
            warm=_warm(job, plan, _item_ids(items, learnt)),
            kept=None if plan.as_of is None else job.root / CHECKPOINT,
        )
    return samples, holdout, items, trained


def _item_ids(items: ItemTable, learnt: Samples) -> list[str]:
    """The id behind each model row from 1 on."""
    return [items.ids[i] for i in learnt.item_index.tolist()]


def _train(job: Job, plan: Plan, stages: Stages) -> dict[str, Any]:
    from models.training import build
    from ops.training.ranking import fit_ranking

    samples, holdout, items, trained = _learn(job, plan, stages)
    learnt = holdout.training
    with stages.stage("rank"):
        ranking = fit_ranking(learnt, holdout.training_asked, trained, len(items))
    with stages.stage("store"):
        facts = {"ranking": ranking.report, **_facts(job, plan, holdout)}
        version = build.store(job.root, trained, _item_ids(items, learnt), ranking.ranker, facts)
        verdicts.write_card(job.root / version)
    with stages.stage("gate"):
        decision = _judged(job, plan, holdout, items, version)
    with stages.stage("promote"):
        promoted = _named(job, version, decision)
    return {
        "version": version,
        "promoted": promoted,
        "champion_before": plan.champion,
        "decision": decision.to_json(),
        **_told(samples, trained, ranking),
        "warnings": stages.warnings,
        "seconds": stages.seconds,
    }


def _warm(job: Job, plan: Plan, item_ids: list[str]) -> Warm | None:
    """What a nightly run goes on from: the champion; any other starts afresh."""
    from models.training import warm_start
    from models.training.train import Warm

    if plan.as_of is None or plan.champion is None:
        return None
    try:
        start = warm_start.read(job.root / plan.champion)
    except artefact.UnreadableError:
        raise
    except ArtefactError as error:
        log.warning("train.fresh", why=str(error))
        return None
    return None if start is None else Warm(start, item_ids)


def _rerun(job: Job, plan: Plan, stages: Stages) -> tuple[Samples, Asked | None, ItemTable]:
    """The log up to the plan's end, as the worker sees it, and the newest questions."""
    from models.training.build import VALIDATION_SHARE

    records = archived_records(job.archive, job.topics[1])
    train, span = job.settings.train, plan.window
    bounds = Bounds(train.max_events, train.max_points, span.begin_ms if span else None)
    state, steps = rerun(
        job.archive,
        job.settings,
        lambda done: stages.show(done / max(records, 1), f"{done:,} records"),
        ends=plan.ends,
        before_ms=plan.before_ms,
        since_ms=span.read_ms if span else None,
    )
    taught = (1 - job.settings.gate.window) * (1 - VALIDATION_SHARE)
    keeper = Keeper(1 - taught, QUESTIONS)
    samples = collect(steps, job.rules, bounds=bounds, look=keeper.see)
    if line := state.unmapped():
        stages.warn(line)
    asked = keeper.asked()
    return samples, None if asked is None else asked.known_to(samples), state.items


def _judged(job: Job, plan: Plan, holdout: Holdout, items: ItemTable, version: str) -> Decision:
    """The gate's decision, written beside the version; a champion is not judged against itself."""
    from ops.training.judge_version import judge

    limits = limits_of(job.settings.gate)
    decision = judge(job.root, version, plan.champion, holdout, items, limits)
    directory = job.root / version
    window = {"from_s": holdout.cut_s, "to_s": holdout.samples.log_end_s}
    found = {**decision.to_json(), "champion": plan.champion, "window": window, "as_of": plan.as_of}
    verdicts.write(directory, {**verdicts.read(directory), "gate": found})
    return decision


def limits_of(gate: Gate) -> Limits:
    """The gate's limits by the settings."""
    margins = gate.model_dump(exclude={"window"})
    return Limits(**margins)


def _named(job: Job, version: str, decision: Decision) -> bool:
    """Give the version its alias; whether it is the champion now."""
    if aliases.resolve(job.root, aliases.CHAMPION) == version:
        return True
    if decision.promote and job.promote:
        aliases.promote(job.root, version)
        return True
    aliases.challenge(job.root, version)
    return False


def _facts(job: Job, plan: Plan, holdout: Holdout) -> dict[str, Any]:
    """What the manifest says of where the version comes from."""
    samples = holdout.samples
    ends = plan.ends[job.topics[1]]
    return {
        "data": {
            "events": len(samples.corpus),
            "points": len(samples.corpus.points.event),
            "user_share": samples.user_share,
            "point_share": samples.point_share,
            "begin_ms": plan.window and plan.window.begin_ms,
            "log_end_s": samples.log_end_s,
            "train_end_s": holdout.cut_s,
            "as_of": plan.as_of,
            "offsets": {str(number): end for number, end in ends.items()},
        },
        "labels": {"churn_horizon_s": samples.horizon_s, "risk_delay_s": samples.label_delay_s},
        "training": {
            name: getattr(job.training, name)
            for name in ("seed", "epochs", "learning_rate", "batch_tokens")
        },
    }


def _told(samples: Samples, trained: Trained, ranking: Ranking) -> dict[str, Any]:
    return {
        "events": len(samples.corpus),
        "points": len(samples.corpus.points.event),
        "items": len(samples.item_index),
        "epochs": len(trained.fitted.curve),
        "cut_short": trained.fitted.cut_short,
        "parity": trained.parity,
        "next_item": trained.next_item,
        "ranking": ranking.report,
        "heads": {"churn": trained.churn.report, "risk": trained.risk.report},
    }
