"""Every setting, read from the environment in one place.

The fields below are the reference: ``docs/settings.md`` is made from them and a test compares the two.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fraudstream.settings_reading import (
    check_kafka_url,
    collect_variables,
    describe_faults,
    read_duration,
    refuse,
    require_scheme,
    split_list,
    split_servers,
    variable_of,
)


class Role(StrEnum):
    """What a worker process does."""

    SCORING = "scoring"
    SINKS = "sinks"
    LEARNING = "learning"
    CHALLENGING = "challenging"


Duration = Annotated[timedelta, BeforeValidator(read_duration), Field(gt=timedelta(0))]
KafkaUrl = Annotated[str, BeforeValidator(check_kafka_url)]
MongoUrl = Annotated[SecretStr, BeforeValidator(require_scheme("mongodb", "mongodb+srv", "sqlite"))]
MariaDbUrl = Annotated[SecretStr, BeforeValidator(require_scheme("mysql", "mariadb", "sqlite"))]
Segment = Literal[
    "card_type",
    "currency",
    "entry_mode",
    "merchant_group",
    "transaction_type",
    "transaction_country",
    "shipping_country",
    "residence_country",
    "bank",
    "gender",
]
Segments = Annotated[tuple[Segment, ...], BeforeValidator(split_list)]
Files = Annotated[tuple[FilePath, ...], BeforeValidator(split_list)]


class Settings(BaseSettings):
    """All settings of one process: frozen, valid as a whole, secrets masked wherever it is printed."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    role: Role | None = Field(
        default=None, description="What this worker does; `fraudstream worker` sets it itself."
    )
    kafka_url: KafkaUrl = Field(
        default="kafka://localhost:9092", description="Brokers to start from, several separated by commas."
    )
    mongo_url: MongoUrl = Field(
        default=SecretStr("mongodb://localhost:27017/fraudstream"),
        description="Archive of classifications: `mongodb://…` or `sqlite:///file`.",
    )
    mariadb_url: MariaDbUrl = Field(
        default=SecretStr("mysql://fraudstream@localhost:3306/fraudstream"),
        description="Store of window counts: `mysql://…` or `sqlite:///file`.",
    )
    epoch: int = Field(
        default=1,
        ge=1,
        description="Life of the transactions topic: one more whenever it was deleted and made again.",
    )
    label_wait: Duration = Field(
        default=timedelta(days=7),
        description="After this long without a label a transaction is presumed genuine.",
    )
    presume_genuine: bool = Field(
        default=True,
        description="Presume genuine what has no label after `label_wait`, and learn it.",
    )
    source_labels_per_day: int = Field(
        default=1_000_000,
        ge=1,
        description="Labels of one source learned a day; further ones are kept aside.",
    )
    terminals_kept: int = Field(
        default=200_000,
        ge=1_000,
        description="Terminals whose risk is kept, at most; those without labels for longest are forgotten.",
    )
    label_deadline: Duration = Field(
        default=timedelta(days=1),
        description="How long a label waits for its transaction before it is a dead letter.",
    )
    learn_from_messages: bool = Field(
        default=False,
        description="Learn from labels that travel inside transactions, after `message_label_delay`.",
    )
    message_label_delay: Annotated[timedelta, BeforeValidator(read_duration), Field(ge=timedelta(0))] = Field(
        default=timedelta(days=7),
        description="How late a label inside a transaction is taken to become known.",
    )
    review_by: Literal["budget", "threshold"] = Field(
        default="budget",
        description="What finds the alerts: `budget` holds `review_budget`, `threshold` takes `review_at`.",
    )
    review_budget: int = Field(default=100, ge=1, description="Alerts a day that people can look at.")
    policy: FilePath | None = Field(
        default=None,
        description="TOML file with thresholds or costs, lists and rules, in place of the four settings "
        "around this one; see `docs/policy.md`.",
    )
    review_at: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Scores from here on are decided `review`; under a budget, where its threshold begins.",
    )
    decline_at: float = Field(
        default=0.9, ge=0, le=1, description="Scores from here on are decided `decline`."
    )
    topic_prefix: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        description="Put before every topic, group and transactional id.",
    )
    partitions: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Partitions of `transactions`, and of every topic aligned with it.",
    )
    replication_factor: int = Field(
        default=1, ge=1, le=32, description="Copies of each partition when topics are created."
    )
    wire_formats: Files = Field(
        default=(),
        description="Mapping files of further wire formats, separated by commas; asked before the shipped.",
    )
    card_hash_key: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None,
        description="Key to hash card ids that look like card numbers with; without it they are refused.",
    )
    member_id: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,200}$",
        description="Static group member id, unique to the process (a pod's name); empty for none.",
    )
    session_timeout_seconds: float = Field(
        default=6.0,
        ge=1,
        le=1800,
        description="After this long without a heartbeat the broker gives partitions away.",
    )
    commit_interval_seconds: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="How often offsets are committed; after a kill so much is done again.",
    )
    fetch_wait_ms: int = Field(
        default=20,
        ge=0,
        le=5000,
        description="How long a broker may hold back a fetch of scoring that brings less than "
        "`FRAUDSTREAM_FETCH_MIN_BYTES`.",
    )
    fetch_min_bytes: int = Field(
        default=1,
        ge=1,
        le=1_048_576,
        description="What a fetch of scoring should bring: 1 for the least latency, 16384 for less processor "
        "time where a worker has a few hundred transactions a second.",
    )
    gather_ms: int = Field(
        default=100,
        ge=0,
        le=5000,
        description="How long a broker gathers records for agents behind scoring: delay against requests.",
    )
    slice_size: int = Field(
        default=512, ge=1, le=10_000, description="Records of one partition handled together, at most."
    )
    window_size_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Length of a window of event time."
    )
    window_grace_seconds: int = Field(
        default=60,
        ge=0,
        le=86_400,
        description="How long a window that is past still takes late transactions.",
    )
    flush_interval_seconds: float = Field(
        default=300.0, gt=0, description="How often open windows are written to the store of counts."
    )
    quality_segments: Segments = Field(
        default=("entry_mode", "card_type"),
        description="Fields of a transaction by whose values live quality is told, separated by commas.",
    )
    watch_interval_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="How often the state of the watch over the model is published; alarms go at once.",
    )
    snapshot_interval_seconds: float = Field(
        default=0.25, gt=0, le=3600, description="A new model is published at most this often."
    )
    challengers: FilePath | None = Field(
        default=None,
        description="TOML file of models that score silently beside the serving one; see "
        "`docs/challengers.md`.",
    )
    challenger_guard: bool = Field(
        default=False,
        description="Promote a challenger that has earned it, and take a model back that is worse than the "
        "one before, without being asked.",
    )
    challenger_days: int = Field(
        default=7,
        ge=2,
        le=35,
        description="Newest days whose labels are complete by which a challenger is judged.",
    )
    challenger_margin: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Share of the serving model's log loss by which a challenger's has to be lower.",
    )
    challenger_memory: int = Field(
        default=1_000_000,
        ge=1024,
        description="Transactions whose silent scores are remembered until their label comes: 8 bytes each "
        "for every challenger.",
    )
    keep_model_examples: int = Field(
        default=10_000,
        ge=1,
        description="Examples learned from one model kept whole to the next: about as many are learned "
        "again, at most, to rebuild a version between two.",
    )
    keep_model_interval: Annotated[timedelta, BeforeValidator(read_duration), Field(ge=timedelta(0))] = Field(
        default=timedelta(minutes=10), description="At most this often is a model kept whole."
    )
    dead_letter_brake: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of dead letters above which the worker stops instead of setting more aside.",
    )
    dead_letter_brake_records: int = Field(
        default=100,
        ge=1,
        description="Latest records over which that share is taken; the brake is off until so many came.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address metrics and health listen on."
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port of metrics and health; 0 takes any that is free. "
        "`fraudstream worker` counts up from it, one port a process.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto` writes text to a terminal and JSON lines anywhere else."
    )
    data_dir: Path = Field(
        default=Path(".fraudstream"), description="Folder for what a worker keeps on disk."
    )
    kafka_tls: bool = Field(
        default=False, description="Encrypt connections to Kafka; implied by the three files below."
    )
    kafka_ca_file: FilePath | None = Field(
        default=None, description="Authorities (PEM) that may vouch for brokers."
    )
    kafka_certificate_file: FilePath | None = Field(
        default=None, description="Our certificate (PEM) for mutual TLS."
    )
    kafka_key_file: FilePath | None = Field(
        default=None, description="Private key (PEM) of our certificate, unencrypted."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How to sign in to Kafka; needs user name and password."
    )
    kafka_username: str | None = Field(default=None, min_length=1, description="User name for Kafka.")
    kafka_password: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        default=None, description="Password for Kafka."
    )

    kafka_check_crcs: bool = Field(
        default=True,
        description="Verify checksums of records read outside of groups; off for the embedded cluster alone, "
        "whose commit markers carry none.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back: :meth:`load` is handed the environment."""
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read all settings from an environment.

        ``FRAUDSTREAM_<FIELD>`` sets a field and an empty value leaves its default; each secret may instead be
        named as a file by ``FRAUDSTREAM_<FIELD>_FILE``. Other ``FRAUDSTREAM_`` variables are an error.

        Raises
        ------
        InvalidSettings
            Naming every variable that is wrong, one line each, without the value of any secret.
        """
        secrets = {name for name, field in cls.model_fields.items() if "SecretStr" in str(field.annotation)}
        values, faults = collect_variables(environ, fields=set(cls.model_fields), secrets=secrets)
        try:
            settings = cls.model_validate(values)
        except ValidationError as exc:
            faults += describe_faults(exc, values, secrets)
            faults += cls._faults_between(
                values, {str(fault["loc"][0]) for fault in exc.errors() if fault["loc"]}
            )
            refuse(faults)
        if faults:
            refuse(faults)
        return settings

    @classmethod
    def _faults_between(cls, values: Mapping[str, str], faulty: Collection[str]) -> list[str]:
        """Return what the sound fields disagree on, which pydantic looks at only when all are sound."""
        sound = {name: text for name, text in values.items() if name not in faulty}
        try:
            cls.model_validate(sound)
        except ValidationError as exc:
            lines = describe_faults(exc, sound, ())
            return [line for line in lines if not any(variable_of(name) in line for name in faulty)]
        return []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = []
        if self.decline_at < self.review_at:
            faults.append(
                f"FRAUDSTREAM_DECLINE_AT: expected at least FRAUDSTREAM_REVIEW_AT ({self.review_at}),"
                f" got {self.decline_at}"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            faults.append("FRAUDSTREAM_KAFKA_CERTIFICATE_FILE: goes together with FRAUDSTREAM_KAFKA_KEY_FILE")
        signing_in = (self.kafka_sasl_mechanism, self.kafka_username, self.kafka_password)
        if any(signing_in) and not all(signing_in):
            faults.append(
                "FRAUDSTREAM_KAFKA_SASL_MECHANISM: goes together with FRAUDSTREAM_KAFKA_USERNAME"
                " and FRAUDSTREAM_KAFKA_PASSWORD"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def kafka_servers(self) -> list[str]:
        """Brokers to start from, each ``host:port``."""
        return split_servers(self.kafka_url)

    @property
    def kafka_is_encrypted(self) -> bool:
        """Whether connections to Kafka use TLS."""
        return self.kafka_tls or any((self.kafka_ca_file, self.kafka_certificate_file))
