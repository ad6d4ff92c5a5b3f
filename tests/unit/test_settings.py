"""Settings: defaults, errors that name everything at once, secrets that stay secret."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from fraudstream.errors import InvalidSettings
from fraudstream.settings import Role, Settings
from fraudstream.settings_reading import mask_url


def faults(**variables: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        Settings.load({f"FRAUDSTREAM_{name}": value for name, value in variables.items()})
    return str(caught.value).splitlines()


def test_an_empty_environment_gives_a_laptop_that_works() -> None:
    settings = Settings.load({})

    assert settings.kafka_servers == ["localhost:9092"]
    assert settings.mongo_url.get_secret_value() == "mongodb://localhost:27017/fraudstream"
    assert settings.mariadb_url.get_secret_value() == "mysql://fraudstream@localhost:3306/fraudstream"
    assert (settings.epoch, settings.partitions, settings.label_wait) == (1, 4, timedelta(days=7))


def test_the_environment_is_read_by_load_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_EPOCH", "7")
    monkeypatch.setenv("EPOCH", "8")

    assert Settings.load({}).epoch == 1


def test_variables_of_other_programs_are_passed_over() -> None:
    assert Settings.load(
        {"PATH": "/bin", "FRAUDSTREAM_TEST_KAFKA_URL": "x", "FRAUDSTREAM_SERVICES_CACHE": "y"}
    )


def test_an_unknown_variable_is_an_error_that_suggests_the_nearest() -> None:
    assert faults(KAFAK_URL="kafka://a:1") == [
        "FRAUDSTREAM_KAFAK_URL: no such setting; did you mean FRAUDSTREAM_KAFKA_URL?"
    ]


def test_every_bad_variable_is_named_at_once() -> None:
    found = faults(
        EPOCH="0", ROLE="cook", LABEL_WAIT="7", NONSENSE="1", DECLINE_AT="0.1", WIRE_FORMATS="/none.toml"
    )

    assert [line.split(":")[0].removeprefix("FRAUDSTREAM_") for line in found] == [
        "DECLINE_AT",
        "EPOCH",
        "LABEL_WAIT",
        "NONSENSE",
        "ROLE",
        "WIRE_FORMATS",
    ]


def test_an_error_tells_what_was_expected_and_what_was_got() -> None:
    assert faults(EPOCH="zero") == [
        "FRAUDSTREAM_EPOCH: should be a valid integer, unable to parse string as an integer, got 'zero'"
    ]


@pytest.mark.parametrize("name", ["MONGO_URL", "MARIADB_URL", "KAFKA_PASSWORD", "CARD_HASH_KEY"])
def test_no_error_and_no_repr_shows_a_secret(name: str) -> None:
    secret = "hunter2-long-enough"
    url = {"MONGO_URL": f"mongodb://app:{secret}@db/f", "MARIADB_URL": f"mysql://app:{secret}@db/f"}.get(
        name, secret
    )
    extra = {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USERNAME": "app"} if name == "KAFKA_PASSWORD" else {}

    settings = Settings.load({f"FRAUDSTREAM_{key}": value for key, value in {name: url, **extra}.items()})
    broken = faults(**{name: url.replace("://", ":x//")[:0] or "x", **extra, "EPOCH": "0"})

    assert secret not in repr(settings)
    assert secret not in str(settings)
    assert secret not in "\n".join(broken)


@pytest.mark.parametrize("url", ["postgres://app:hunter2@db/f", "mysql://app:hunter2@db:port/f", "hunter2"])
def test_a_broken_store_url_is_refused_without_being_shown(url: str) -> None:
    (line,) = faults(MARIADB_URL=url)

    assert line.startswith("FRAUDSTREAM_MARIADB_URL: ")
    assert "hunter2" not in line


def test_a_secret_may_be_named_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mongo"
    file.write_text("mongodb://app:hunter2@db/f\n")

    settings = Settings.load({"FRAUDSTREAM_MONGO_URL_FILE": str(file)})

    assert settings.mongo_url.get_secret_value() == "mongodb://app:hunter2@db/f"


def test_a_secret_may_not_be_given_twice(tmp_path: Path) -> None:
    (line,) = faults(MONGO_URL="mongodb://a/f", MONGO_URL_FILE=str(tmp_path))

    assert line == "FRAUDSTREAM_MONGO_URL_FILE: FRAUDSTREAM_MONGO_URL is set too; keep one of them"


def test_a_secret_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    found = faults(MONGO_URL_FILE=str(tmp_path / "none"), MARIADB_URL_FILE=str(tmp_path / "empty"))

    assert found == [
        f"FRAUDSTREAM_MARIADB_URL_FILE: {tmp_path}/empty is empty",
        f"FRAUDSTREAM_MONGO_URL_FILE: cannot read {tmp_path}/none: No such file or directory",
    ]


def test_only_secrets_have_a_file_form() -> None:
    assert faults(EPOCH_FILE="/run/epoch")[0].startswith("FRAUDSTREAM_EPOCH_FILE: no such setting")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.load({"FRAUDSTREAM_EPOCH": "", "FRAUDSTREAM_MONGO_URL_FILE": ""}).epoch == 1


def test_several_brokers_are_separated_by_commas_and_have_a_default_port() -> None:
    settings = Settings.load({"FRAUDSTREAM_KAFKA_URL": "kafka://one:9093, kafka://two,three:9094,[::1]:9095"})

    assert settings.kafka_servers == ["one:9093", "two:9092", "three:9094", "[::1]:9095"]


@pytest.mark.parametrize(
    "url", ["localhost:9092", "http://a:1", "kafka://", "kafka://a:b", "kafka://a:1,,b:2"]
)
def test_a_kafka_url_names_brokers(url: str) -> None:
    assert faults(KAFKA_URL=url)[0].startswith("FRAUDSTREAM_KAFKA_URL: expected ")


def test_credentials_do_not_go_into_the_kafka_url_and_are_not_shown() -> None:
    (line,) = faults(KAFKA_URL="kafka://app:hunter2@broker:9092")

    assert "FRAUDSTREAM_KAFKA_PASSWORD" in line
    assert "hunter2" not in line


def test_sign_in_is_given_as_a_whole() -> None:
    (line,) = faults(KAFKA_USERNAME="app")

    assert line.startswith("FRAUDSTREAM_KAFKA_SASL_MECHANISM: goes together with FRAUDSTREAM_KAFKA_USERNAME")


def test_a_faulty_part_of_a_group_does_not_make_the_others_look_wrong(tmp_path: Path) -> None:
    (line,) = faults(KAFKA_SASL_MECHANISM="KERBEROS", KAFKA_USERNAME="app", KAFKA_PASSWORD="x")

    assert line.startswith("FRAUDSTREAM_KAFKA_SASL_MECHANISM: should be ")


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()

    (line,) = faults(KAFKA_CERTIFICATE_FILE=str(certificate))

    assert line == "FRAUDSTREAM_KAFKA_CERTIFICATE_FILE: goes together with FRAUDSTREAM_KAFKA_KEY_FILE"


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1"])
def test_an_interval_is_a_positive_number(value: str) -> None:
    assert faults(FLUSH_INTERVAL_SECONDS=value)[0].startswith(
        "FRAUDSTREAM_FLUSH_INTERVAL_SECONDS: should be "
    )


def test_settings_cannot_be_changed() -> None:
    settings = Settings.load({"FRAUDSTREAM_ROLE": "sinks"})

    with pytest.raises(ValidationError):
        settings.role = Role.SCORING
    assert settings.role is Role.SINKS


def test_a_masked_url_has_neither_password_nor_query() -> None:
    assert mask_url("mongodb://app:pw@a:1,b:2/f?key=pw") == "mongodb://app:***@a:1,b:2/f"
    assert mask_url("sqlite:///f.db") == "sqlite:///f.db"
