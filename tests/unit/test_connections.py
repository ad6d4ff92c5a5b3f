"""Connections: the same settings told to three client libraries."""

from pathlib import Path

import faust
import pytest

from fraudstream.connections import faust_broker, kafka_options, librdkafka_options
from fraudstream.errors import InvalidSettings
from fraudstream.settings import Settings

SIGN_IN = {
    "FRAUDSTREAM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "FRAUDSTREAM_KAFKA_USERNAME": "app",
    "FRAUDSTREAM_KAFKA_PASSWORD": "hunter2",
}
BROKERS = {"FRAUDSTREAM_KAFKA_URL": "kafka://a:1,kafka://b:2"}


def test_a_plain_cluster_needs_only_its_brokers() -> None:
    settings = Settings.load(BROKERS)

    assert kafka_options(settings) == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}
    assert librdkafka_options(settings) == {"bootstrap.servers": "a:1,b:2", "security.protocol": "PLAINTEXT"}
    assert faust_broker(settings) == {"broker": "kafka://a:1;kafka://b:2"}


def test_signing_in_over_tls_reaches_every_library() -> None:
    settings = Settings.load(BROKERS | SIGN_IN | {"FRAUDSTREAM_KAFKA_TLS": "true"})

    aiokafka, rdkafka, faust_options = (
        kafka_options(settings),
        librdkafka_options(settings),
        faust_broker(settings),
    )

    assert aiokafka["security_protocol"] == rdkafka["security.protocol"] == "SASL_SSL"
    assert aiokafka["sasl_plain_password"] == rdkafka["sasl.password"] == "hunter2"
    credentials = faust_options["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")


def test_signing_in_without_tls_is_possible() -> None:
    assert kafka_options(Settings.load(SIGN_IN))["security_protocol"] == "SASL_PLAINTEXT"


def test_tls_alone_is_possible() -> None:
    settings = Settings.load({"FRAUDSTREAM_KAFKA_TLS": "yes"})

    assert kafka_options(settings)["security_protocol"] == "SSL"
    assert isinstance(faust_broker(settings)["broker_credentials"], faust.SSLCredentials)


def test_a_file_that_holds_no_certificate_is_the_operators_error(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing of the kind")
    settings = Settings.load({"FRAUDSTREAM_KAFKA_CA_FILE": str(file)})

    assert settings.kafka_is_encrypted
    with pytest.raises(InvalidSettings, match="FRAUDSTREAM_KAFKA_CA_FILE: cannot be used"):
        kafka_options(settings)
