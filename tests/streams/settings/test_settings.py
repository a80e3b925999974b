"""Settings: from the file and the environment, refused when unknown or wrong, and obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.checkpoints import schedule
from streams.histories.item_table import ItemTable
from streams.plan import Plan
from streams.settings import load_settings
from streams.worker import Worker


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plan(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Plan:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Plan.from_settings(load_settings())


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hark.toml").write_text('[kafka]\ngroup_id = "file"\ntopic_prefix = "shop."\n')
    monkeypatch.setenv("HARK_KAFKA__GROUP_ID", "environment")
    kafka = load_settings().kafka
    assert (kafka.group_id, kafka.topic_prefix) == ("environment", "shop.")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HARK_KAFKA__BOGUS", "1", "kafka.bogus"),
        ("HARK_BOGUS__X", "1", "HARK_BOGUS__X: no such setting"),
        ("HARK_ALERTS__CHURN__RAISE_AT", "3", "alerts.churn.raise_at"),
        ("HARK_KAFKA__SECURITY_PROTOCOL", "NONE", "kafka.security_protocol"),
        ("HARK_EVENTS", '{"kauf": "buy"}', "unknown kind 'buy'"),
        ("HARK_CONFIG", "/nowhere/hark.toml", "no such file"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said) as error:
        load_settings()
    assert "\n" not in str(error.value)


def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "hark.toml").write_text("[kafka\n")
    with pytest.raises(ConfigError, match=r"hark\.toml"):
        load_settings()


def test_thresholds_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="clear_at <= raise_at"):
        plan(monkeypatch, HARK_ALERTS__RISK__RAISE_AT="0.2", HARK_ALERTS__RISK__CLEAR_AT="0.5")


async def test_times_of_the_group_fit_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_KAFKA__DRAIN_TIMEOUT_S", "120")
    with pytest.raises(ConfigError, match=r"45 must be longer than kafka\.drain_timeout_s 120"):
        load_settings()
    monkeypatch.setenv("HARK_LIMITS__STOP_TIMEOUT_S", "180")
    group = Worker(load_settings()).consumer.group
    assert group.drain_timeout_s == 120
    assert group.rebalance_timeout_s > 120 + schedule.FINAL_S  # its peers wait for the drain
    monkeypatch.setenv("HARK_KAFKA__SESSION_TIMEOUT_S", "6")
    group = Worker(load_settings()).consumer.group
    assert group.session_timeout_s == 6 > 3 * group.heartbeat_s


async def test_limits_reach_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_LIMITS__MAX_FAILURES", "3")
    monkeypatch.setenv("HARK_LIMITS__RETRY_S", "5")
    worker = Worker(load_settings())
    assert worker.scorer._isolation._max_failures == 3
    assert worker.ownership._retry_s == 5


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_KAFKA__PASSWORD", "s3cret")
    settings = load_settings()
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()


def test_settings_reach_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = plan(
        monkeypatch,
        HARK_KAFKA__TOPIC_PREFIX="a.",
        HARK_CONTRACT__ENTITIES='["context.ip"]',
        HARK_STATE__MAX_USERS="7",
        HARK_STATE__LATE_S="60",
        HARK_STATE__COVISIT_DAYS="5",
        HARK_STATE__COVISIT_NEIGHBOURS="7",
        HARK_RECOMMEND__TOP_K="3",
        HARK_RECOMMEND__REFRESH_S="9",
        HARK_RECOMMEND__MIN_INTERVAL_S="11",
        HARK_RECOMMEND__TTL_S="13",
        HARK_RECOMMEND__EXCLUDE_BOUGHT="false",
        HARK_ALERTS__CHURN__ENABLED="false",
        HARK_ALERTS__RISK__BUDGET="0.2",
        HARK_ALERTS__RISK__COOLDOWN_S="17",
        HARK_ALERTS__WATCH='["login"]',
    )
    assert changed.recommendations == "a.recommendations"
    assert (changed.entities, changed.max_users, changed.late_s) == (1, 7, 60)
    assert changed.covisit_tau_s == 5 * 86_400
    assert changed.new_state(0, ItemTable()).counters.covisits.part().weights.shape[1] == 7
    policy = changed.recommend
    assert (policy.top_k, policy.min_interval_s, policy.ttl_s) == (3, 11, 13)
    assert not policy.exclude_bought
    assert changed.points.refresh_s == 9
    assert changed.points.watch == frozenset({Kind.LOGIN})
    assert list(changed.alert_policies) == ["risk"]
    assert changed.alert_policies["risk"].budget == 0.2
    assert changed.alert_policies["risk"].cooldown_s == 17
