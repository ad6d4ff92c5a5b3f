"""How each client library is told to reach Kafka, from one place."""

import ssl
from typing import Any

import faust

from fraudstream.errors import InvalidSettings
from fraudstream.settings import Settings


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments every aiokafka client takes: brokers, encryption, sign-in.

    Raises
    ------
    InvalidSettings
        When a certificate or key file cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_servers,
        "security_protocol": _protocol(settings),
    }
    if settings.kafka_is_encrypted:
        options["ssl_context"] = _tls_context(settings)
    if settings.kafka_sasl_mechanism and settings.kafka_password:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def kafka_reading_options(settings: Settings) -> dict[str, Any]:
    """Return the same for consumers outside of groups, with how they treat checksums.

    Raises
    ------
    InvalidSettings
        When a certificate or key file cannot be used.
    """
    return kafka_options(settings) | {"check_crcs": settings.kafka_check_crcs}


def faust_broker(settings: Settings) -> dict[str, Any]:
    """Return ``broker`` and, where signing in or encrypting, ``broker_credentials`` for ``faust.App``.

    Raises
    ------
    InvalidSettings
        When a certificate or key file cannot be used.
    """
    options: dict[str, Any] = {"broker": ";".join(f"kafka://{server}" for server in settings.kafka_servers)}
    context = _tls_context(settings) if settings.kafka_is_encrypted else None
    if settings.kafka_sasl_mechanism and settings.kafka_password:
        options["broker_credentials"] = faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = faust.SSLCredentials(context)
    return options


def librdkafka_options(settings: Settings) -> dict[str, Any]:
    """Return the same for confluent-kafka's clients, whose TLS reads the files itself."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.kafka_servers),
        "security.protocol": _protocol(settings),
    }
    for name, path in (
        ("ssl.ca.location", settings.kafka_ca_file),
        ("ssl.certificate.location", settings.kafka_certificate_file),
        ("ssl.key.location", settings.kafka_key_file),
    ):
        if path is not None:
            options[name] = str(path)
    if settings.kafka_sasl_mechanism and settings.kafka_password:
        options["sasl.mechanisms"] = settings.kafka_sasl_mechanism
        options["sasl.username"] = settings.kafka_username
        options["sasl.password"] = settings.kafka_password.get_secret_value()
    return options


def _protocol(settings: Settings) -> str:
    channel = "SSL" if settings.kafka_is_encrypted else "PLAINTEXT"
    if settings.kafka_sasl_mechanism is None:
        return channel
    return f"SASL_{channel}"


def _tls_context(settings: Settings) -> ssl.SSLContext:
    reading = "FRAUDSTREAM_KAFKA_CA_FILE"
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_certificate_file is not None:
            reading = "FRAUDSTREAM_KAFKA_CERTIFICATE_FILE"
            # A callable instead of None: OpenSSL would otherwise ask for a pass phrase on the terminal.
            context.load_cert_chain(
                settings.kafka_certificate_file, settings.kafka_key_file, password=lambda: ""
            )
    except (ssl.SSLError, OSError) as exc:
        msg = f"{reading}: cannot be used: {exc.strerror or exc}"
        raise InvalidSettings(msg) from exc
    return context
