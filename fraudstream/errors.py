"""Every error this package raises on purpose.

::

    FraudstreamError
    ├── InvalidMessage          one message is at fault: it becomes a dead letter
    ├── StoreUnavailable        the world is at fault, for now: retry this, never skip it
    └── OperatorError           a person can put it right: one clear line, non-zero exit status
        ├── InvalidSettings     a variable is missing, unknown or malformed
        ├── InvalidWireFormat   a mapping file is wrong, at a named line
        ├── InvalidInput        a file or argument given to a command is wrong
        ├── TopicsMismatch      topics are missing or have other partitions than the code declares
        ├── EpochMismatch       stored results belong to another life of the source topic
        └── InvalidSnapshot     a model snapshot fails its checksum, version or content

Anything else is our own fault: nothing is committed and the worker stops.
"""


class FraudstreamError(Exception):
    """Root of the errors raised on purpose."""


class InvalidMessage(FraudstreamError):
    """A message that cannot be used, however often it is tried.

    Parameters
    ----------
    fault
        What was expected and what was got, without secrets and with card numbers masked.
    field
        Path of the field at fault (``amount_minor``, ``label.source``); empty when the whole message is.
    """

    def __init__(self, fault: str, field: str = "") -> None:
        super().__init__(f"{field}: {fault}" if field else fault)
        self.fault = fault
        self.field = field


class StoreUnavailable(FraudstreamError):
    """A store or broker does not answer, for now.

    Parameters
    ----------
    store
        Which one, as metrics and health name it: ``mongo``, ``mariadb``, ``sqlite``, ``kafka``.
    reason
        What it answered, without credentials.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"{store} is unavailable: {reason}")
        self.store = store
        self.reason = reason


class OperatorError(FraudstreamError):
    """Something a person can put right; the command line prints it as one line."""


class InvalidSettings(OperatorError):
    """One or more settings are missing, unknown or malformed; the message names each."""


class InvalidWireFormat(OperatorError):
    """A wire-format file is wrong; the message names file, line and reason."""


class InvalidInput(OperatorError):
    """A file or argument given to a command is wrong."""


class TopicsMismatch(OperatorError):
    """Topics are missing or differ from what the code declares."""


class EpochMismatch(OperatorError):
    """Stored results are ahead of, or differ from, the source log: it was made again."""


class InvalidSnapshot(OperatorError):
    """A model snapshot fails its checksum, version or content."""
