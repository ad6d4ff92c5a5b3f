"""What people and the guard ask of the learner, and what it answers.

The learner is the only writer of models, so a change of model is a message to it. Commands travel on one
partition and each is obeyed once, at a definite place among the training examples: the snapshot published
with its effect names the command's offset.
"""

from datetime import datetime

import msgspec

from fraudstream.errors import InvalidMessage


class Promote(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="promote"):
    """Go on with a challenger's weights and constants, as the next version.

    ``snapshot`` is the state as :func:`~fraudstream.core.snapshot.encode_snapshot` writes it: the
    learner first teaches it the examples that came since. ``id`` is what the answer names; a command that
    comes again under the same id changes nothing.
    """

    id: str
    name: str
    by: str
    reason: str
    sent_at: datetime
    snapshot: bytes


Command = Promote
"""Everything the learner can be asked; further commands join the union by a tag of their own."""


class Handover(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The learner's answer to a promotion.

    ``version`` is the first one of the new model, ``training_offset`` the last example in it, ``serving`` and
    ``former`` the models' names, ``former_snapshot`` the state of the model that served before, which goes on
    as a challenger. ``refusal`` says why nothing changed, if nothing did.
    """

    id: str
    serving: str
    former: str = ""
    version: int = 0
    training_offset: int = -1
    former_snapshot: bytes = b""
    refusal: str = ""
    at: datetime


_encode = msgspec.json.Encoder().encode
_decode_command = msgspec.json.Decoder(Command).decode
_decode_handover = msgspec.json.Decoder(Handover).decode


def encode_command(command: Command) -> bytes:
    """Return a command as JSON."""
    return _encode(command)


def encode_handover(handover: Handover) -> bytes:
    """Return an answer as JSON."""
    return _encode(handover)


def decode_command(data: bytes | None) -> Command:
    """Return the command of this JSON.

    Raises
    ------
    InvalidMessage
        It is none.
    """
    try:
        return _decode_command(data or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fault = f"expected a command to the learner: {error}"
        raise InvalidMessage(fault) from error


def decode_handover(data: bytes | None) -> Handover:
    """Return the answer of this JSON.

    Raises
    ------
    InvalidMessage
        It is none.
    """
    try:
        return _decode_handover(data or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fault = f"expected an answer of the learner: {error}"
        raise InvalidMessage(fault) from error
