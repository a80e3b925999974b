"""Every setting of Hark in one frozen object, from `hark.toml` and the environment.

Environment variables win over the file: `HARK_KAFKA__BOOTSTRAP_SERVERS=host:9092` sets
`kafka.bootstrap_servers`. An unknown setting is an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.events.contract import Contract, contract_from_names
from streams.kafka.settings import Kafka, Section
from streams.settings_errors import (
    CONFIG_FILE_VARIABLE,
    check_variables,
    checked_file,
    invalid,
    unreadable,
)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class ContractSection(Section):
    """How the product's events are read."""

    entities: tuple[str, ...] = Contract().entities
    reference: str = Contract().reference
    max_event_bytes: Positive = Contract().max_event_bytes
    oldest_ms: Positive = Contract().oldest_ms
    future_ms: Positive = Contract().future_ms


class State(Section):
    """Bounds of the worker's state, and how often the state is saved.

    Every `checkpoint_s` seconds the changes of a partition's state are written to `user-state` and
    `counters`; 0: never, and a worker that takes a partition over reads its whole log. Each of the
    `covisit_neighbours` of an item takes 12 bytes; shops whose items go with many others need more.
    """

    max_users: Positive = 1_000_000
    late_s: Positive = 7 * 86_400
    covisit_days: Positive = 90
    covisit_neighbours: Annotated[int, Field(ge=1, le=512)] = 32
    checkpoint_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0


class Recommend(Section):
    """When a recommendation is made and sent."""

    top_k: Annotated[int, Field(ge=1, le=100)] = 10
    refresh_s: Positive = 300
    min_interval_s: Annotated[int, Field(ge=0)] = 30
    ttl_s: Positive = 86_400
    exclude_bought: bool = True


class AlertRule(Section):
    """When an alert of one kind is raised and cleared.

    Thresholds that aren't set come from the model: `budget` is the share of decisions that may
    be above `raise_at`, as they were in the model's validation; a tenth of it is critical.
    """

    enabled: bool = True
    budget: Annotated[float, Field(ge=0.001, le=0.5)] = 0.01
    raise_at: Share | None = None
    clear_at: Share | None = None
    critical_at: Share | None = None
    cooldown_s: Annotated[int, Field(ge=0)] = 86_400


class Alerts(Section):
    """Rules per kind of alert."""

    churn: AlertRule = AlertRule()
    risk: AlertRule = AlertRule(cooldown_s=3_600)
    watch: tuple[str, ...] = ("payment", "login")


class Model(Section):
    """The folder of model versions, the alias of the version that answers, and its engine.

    `engine`: `auto` and `tensorrt` run the model on the GPU if possible, else on ONNX Runtime, and
    log why. `plans` is the folder of TensorRT's plans; plans are code, so no other user may write
    there.
    """

    registry: Path = Path("var/registry")
    alias: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,63}$")] = "champion"
    engine: Literal["auto", "onnx", "tensorrt"] = "auto"
    plans: Path = Path("var/plans")


class Gate(Section):
    """When a new version may replace the champion (`models/evaluation/gate.py`).

    `window` is the newest share of the log's events, which is used to judge and not to train.
    Margins: `ranking` and `precision` are shares of the champion's figure, `ece` is absolute.
    """

    window: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    ranking: Share = 0.1
    precision: Share = 0.1
    ece: Share = 0.02
    latency_ms: Annotated[float, Field(gt=0)] = 1_000.0


class Train(Section):
    """What `hark train` reads, keeps of the archive, and holds in memory.

    The newest `window_days` of the log (record time) are used to train and judge; the
    `warm_up_days` before only bring histories and counters to the workers' state. With
    `prune_archive` older records are deleted from the archive. An event takes about 100 bytes, a
    decision point 600: beyond `max_events` users are sampled, beyond `max_points` decision points.
    """

    window_days: Positive = 90
    warm_up_days: Annotated[int, Field(ge=0)] = 30
    prune_archive: bool = True
    max_events: Positive = 5_000_000
    max_points: Positive = 1_000_000


class Http(Section):
    """The worker's own HTTP server: /metrics, /healthz, /readyz."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464


class Limits(Section):
    """When the worker stops, gives up or reports that it is unhealthy.

    Too many dead letters stop the worker, so that a bad release can't drain a topic. `max_failures`
    bounds the records in a row that make a stage raise, `retry_s` the retries of a failing broker,
    `stop_timeout_s` the duration of a stop. /healthz fails if nothing was committed for `stuck_s`
    while records wait.
    """

    dead_letter_share: Share = 0.5
    dead_letter_window: Positive = 10_000
    max_consecutive: Positive = 5_000
    max_failures: Positive = 100
    stop_timeout_s: Annotated[float, Field(gt=0, le=600)] = 45.0
    stuck_s: Annotated[float, Field(gt=0)] = 60.0
    retry_s: Annotated[float, Field(ge=0, le=600)] = 30.0


class Privacy(Section):
    """Pseudonyms in what Hark's own publishers send (docs/privacy.md); none without a key.

    `also` names further fields to pseudonymise, such as `context.ip`.
    """

    key_file: Path | None = None
    key_id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$")] = "k1"
    also: tuple[str, ...] = ()


class Settings(BaseSettings):
    """All settings; `load_settings` builds it with readable errors."""

    model_config = SettingsConfigDict(
        env_prefix="HARK_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    kafka: Kafka = Kafka()
    contract: ContractSection = ContractSection()
    events: dict[str, str] = {}
    state: State = State()
    recommend: Recommend = Recommend()
    alerts: Alerts = Alerts()
    model: Model = Model()
    gate: Gate = Gate()
    train: Train = Train()
    http: Http = Http()
    limits: Limits = Limits()
    privacy: Privacy = Privacy()

    @model_validator(mode="after")
    def _a_stop_may_drain(self) -> Self:
        limit_s, drain_s = self.limits.stop_timeout_s, self.kafka.drain_timeout_s
        if limit_s <= drain_s:
            raise ValueError(
                f"limits.stop_timeout_s {limit_s:g} must be longer than kafka.drain_timeout_s "
                f"{drain_s:g}: a stop drains first"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then `hark.toml`."""
        file = Path(os.environ.get(CONFIG_FILE_VARIABLE, "hark.toml"))
        toml = TomlConfigSettingsSource(settings_cls, toml_file=file)
        return init_settings, env_settings, toml

    def product_contract(self) -> Contract:
        """The contract of this product: names of `[events]` over the defaults."""
        return contract_from_names(self.events, **self.contract.model_dump())


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises
    ------
    ConfigError
        One line: the setting, what is wrong with it, and where to set it.
    """
    checked_file()
    sections = Settings.model_fields
    check_variables(sections)
    try:
        settings = Settings(**overrides)
        settings.product_contract()
    except ValidationError as error:
        raise invalid(error) from None
    except SettingsError as error:
        raise unreadable(error, sections) from None
    return settings
