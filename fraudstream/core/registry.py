"""What is kept of every model version: where it comes from, what it has learned and what was left out of it.

A version is named by the training examples in it: those of the training log up to its offset, without the
ones that were left out. The learner is deterministic, so a version can be made again at any time from an
earlier one that was kept whole, by learning the examples between the two.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from fraudstream.core.label_sources import matches
from fraudstream.core.learning import Limits
from fraudstream.core.messages import TrainingExample
from fraudstream.core.unexplained import clipped_loss
from fraudstream.errors import InvalidMessage

RECENT_LABELS = 4_000
"""Labels over which the running measures of a version are taken."""

MOST_SOURCES = 100
"""Label sources one command can leave out."""

_Text = Annotated[str, msgspec.Meta(max_length=1_000)]
_Offset = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]


class LeftOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Training examples that a version has not learned though its offset is above theirs.

    Offsets in (``after``, ``until``]: all of them, or those of some ``sources`` only, as
    :func:`~fraudstream.core.label_sources.matches` takes them.
    """

    after: int
    until: int
    sources: tuple[str, ...] = ()

    def covers(self, offset: int, example: TrainingExample) -> bool:
        """Whether an example is one of them."""
        if not self.after < offset <= self.until:
            return False
        return not self.sources or any(matches(example, source) for source in self.sources)


class Rollback(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="rollback"):
    """Go on from the state of a version, as the next one.

    ``id`` is what the answer names; ``by`` and ``reason`` are kept with the new version.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    by: _Text
    reason: _Text
    sent_at: datetime
    version: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Relearn(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="command", tag="relearn"
):
    """Learn the training log again and go on from that, as the next version.

    Up to offset ``until`` (by default to where the learner is), leaving out examples of the label sources
    ``without`` from offset ``since`` on.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    by: _Text
    reason: _Text
    sent_at: datetime
    until: _Offset | None = None
    since: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    without: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MOST_SOURCES)] = ()


ModelCommand = Rollback | Relearn
"""Everything the learner can be told; further commands join the union by a tag of their own."""


class RecentQuality(msgspec.Struct, omit_defaults=True):
    """How well the last labels were predicted, before they were known.

    Means over about the last 4,000 labels learned: log loss in nats, score, and fraud rate. ``labels``
    counts up to that number.
    """

    labels: int = 0
    log_loss: float = 0.0
    predicted: float = 0.0
    observed: float = 0.0

    def note(self, score: float, *, fraud: bool) -> None:
        """Take one label, with the score its transaction was given."""
        self.labels = labels = min(self.labels + 1, RECENT_LABELS)
        self.log_loss += (clipped_loss(score, fraud) - self.log_loss) / labels
        self.predicted += (score - self.predicted) / labels
        self.observed += (fraud - self.observed) / labels


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="published"):
    """One published model version.

    Attributes
    ----------
    version, parent
        Of this version, and of the one whose state the learner went on from: the one before it, or the one
        that was rolled back to; 0 for none.
    lineage
        Version of the last rollback or relearning, 0 before the first. Versions of one lineage lie on one
        way through the training log: nothing was left out between them.
    base, kept_at
        The newest version of the lineage kept whole, at or below this one, and its offset in
        ``kept-models``; -1 when none was kept yet: then learning starts from nothing.
    training_offset, learned
        Offset of the last training example, and the number of examples learned.
    created_at
        When it was published.
    code
        Of the program that learned it: see :func:`~fraudstream.core.code_version.code_version`.
    recent
        How well the last labels were predicted when it was published.
    limits
        What bounded the learner.
    command
        What was obeyed, for the first version after a rollback or relearning.
    """

    version: int
    parent: int
    lineage: int
    base: int
    kept_at: int
    training_offset: int
    learned: int
    created_at: datetime
    code: str
    recent: RecentQuality
    limits: Limits = Limits()
    command: ModelCommand | None = None

    @property
    def is_kept(self) -> bool:
        """Whether this version itself was kept whole."""
        return self.base == self.version and self.kept_at >= 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refused"):
    """A command that was not obeyed; ``version`` is the newest at that time."""

    version: int
    command: ModelCommand
    reason: str
    created_at: datetime


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the learner has to know beside the newest snapshot, to go on after a restart.

    ``command_offset`` is the offset of the last command obeyed or refused. ``kept_learned`` and
    ``kept_time`` (seconds since 1970) tell when a version was kept last. The others are those of
    :class:`Entry`; ``left_out`` is of the whole lineage.
    """

    command_offset: int = -1
    lineage: int = 0
    left_out: tuple[LeftOut, ...] = ()
    base: int = 0
    kept_at: int = -1
    kept_learned: int = 0
    kept_time: float = 0.0
    code: str = ""
    recent: RecentQuality = msgspec.field(default_factory=RecentQuality)
    limits: Limits = Limits()


_encoder = msgspec.json.Encoder()
_record_decoder: msgspec.json.Decoder[Entry | Refusal] = msgspec.json.Decoder(Entry | Refusal)
_command_decoder: msgspec.json.Decoder[ModelCommand] = msgspec.json.Decoder(ModelCommand)
_standing_decoder = msgspec.json.Decoder(Standing)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode_record(record: Entry | Refusal) -> bytes:
    """Return what the registry holds of a version or a refused command."""
    return _encoder.encode(record)


def decode_record(value: bytes | None) -> Entry | Refusal:
    """Return a record of the registry; anything else is an ``InvalidMessage``."""
    try:
        return _record_decoder.decode(value or b"")
    except _UNDECODABLE as error:
        fault = f"expected a record of the model registry: {error}"
        raise InvalidMessage(fault) from error


def encode_command(command: ModelCommand) -> bytes:
    """Return the message of a command."""
    return _encoder.encode(command)


def decode_command(value: bytes | None) -> ModelCommand:
    """Return a command; anything else is an ``InvalidMessage``."""
    try:
        return _command_decoder.decode(value or b"")
    except _UNDECODABLE as error:
        fault = f"expected a model command: {error}"
        raise InvalidMessage(fault) from error


def encode_standing(standing: Standing) -> bytes:
    """Return the header that a snapshot carries."""
    return _encoder.encode(standing)


def decode_standing(value: bytes | None) -> Standing:
    """Return what :func:`encode_standing` was given; nothing is the standing of a learner's beginning.

    Raises
    ------
    InvalidMessage
        It is something else.
    """
    if value is None:
        return Standing()
    try:
        return _standing_decoder.decode(value)
    except _UNDECODABLE as error:
        fault = f"expected the standing of a learner: {error}"
        raise InvalidMessage(fault) from error
