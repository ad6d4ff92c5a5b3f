"""What is kept of every model version: where it comes from, what it has learned and what was left out of it.

A version is named by the training examples in it: those of the training log up to its offset, without the
ones that were left out. The learner is deterministic, so a version can be made again at any time from an
earlier one that was kept whole, by learning the examples between the two.
"""

from datetime import datetime
from typing import Annotated, Self

import msgspec

from fraudstream.core.decoding import decoder_of
from fraudstream.core.label_sources import matches
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import TrainingExample
from fraudstream.core.model_design import STANDARD
from fraudstream.core.unexplained import clipped_loss

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


class _Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="command"):
    """What every command says: ``id`` is what the answer names; ``by`` and ``reason`` are kept with it."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    by: _Text
    reason: _Text
    sent_at: datetime

    @property
    def reaches(self) -> int:
        """Offset in the training log that the learner has to have come to before it obeys."""
        return -1

    def told(self) -> Self:
        """Return the command as it is kept in the registry."""
        return self


class Rollback(_Command, frozen=True, kw_only=True, tag="rollback"):
    """Go on from the state of a version, as the next one."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Relearn(_Command, frozen=True, kw_only=True, omit_defaults=True, tag="relearn"):
    """Learn the training log again and go on from that, as the next version.

    Up to offset ``until`` (by default to where the learner is), leaving out examples of the label sources
    ``without`` from offset ``since`` on. Constants and terms are those of the model that serves.
    """

    until: _Offset | None = None
    since: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    without: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MOST_SOURCES)] = ()


class _Change(_Command, frozen=True, kw_only=True, omit_defaults=True):
    """Another model in the place of the one that serves.

    ``model`` is its name. ``snapshot`` is its state, as
    :func:`~fraudstream.core.snapshot.encode_snapshot` writes it, and ``training_offset`` the last example in
    that: the learner first teaches it those that came since. The registry does not repeat the state.
    ``since`` is the version from which on the serving model serves as far as the sender knows: the command is
    refused if another was obeyed meanwhile.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    training_offset: _Offset
    since: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    snapshot: bytes = b""

    @property
    def reaches(self) -> int:
        """Offset up to which the other model has learned."""
        return self.training_offset

    def told(self) -> Self:
        """Return the command without the state."""
        return msgspec.structs.replace(self, snapshot=b"")


class Promote(_Change, frozen=True, kw_only=True, omit_defaults=True, tag="promote"):
    """Go on with a challenger's weights and constants, as the next version."""


class Demote(_Change, frozen=True, kw_only=True, omit_defaults=True, tag="demote"):
    """Take the serving model back: go on with one that served before it, as the next version."""


ModelCommand = Rollback | Relearn | Promote | Demote
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
        Version of the last command obeyed, 0 before the first. Versions of one lineage lie on one way through
        the training log, of one model: nothing was left out between them.
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
        What was obeyed, for the first version of a lineage.
    design
        Name of the model: see :class:`~fraudstream.core.model_design.ModelDesign`.
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
    design: str = STANDARD

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


def command_name(command: ModelCommand) -> str:
    """Return the word a command is tagged by, such as ``rollback``."""
    return type(command).__name__.lower()


_encoder = msgspec.json.Encoder()
_records: msgspec.json.Decoder[Entry | Refusal] = msgspec.json.Decoder(Entry | Refusal)
_commands: msgspec.json.Decoder[ModelCommand] = msgspec.json.Decoder(ModelCommand)
_decode_standing = decoder_of(msgspec.json.Decoder(Standing).decode, "the standing of a learner")


def encode_record(record: Entry | Refusal) -> bytes:
    """Return what the registry holds of a version or a refused command."""
    return _encoder.encode(record)


decode_record = decoder_of(_records.decode, "a record of the model registry")
"""Return a record of the registry; anything else is an ``InvalidMessage``."""


def encode_command(command: ModelCommand) -> bytes:
    """Return the message of a command."""
    return _encoder.encode(command)


decode_command = decoder_of(_commands.decode, "a model command")
"""Return a command; anything else is an ``InvalidMessage``."""


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
    return Standing() if value is None else _decode_standing(value)
