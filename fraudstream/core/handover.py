"""What a command to the learner led to, as challengers are told: who serves now, and who served before."""

from datetime import datetime

import msgspec

from fraudstream.core.decoding import decoder_of
from fraudstream.core.registry import ModelCommand, command_name
from fraudstream.core.snapshot import Snapshot, encode_snapshot


class Handover(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The learner's answer to a command, published with what it led to.

    ``id`` and ``command`` name the command, ``command`` by its tag. ``serving`` is the name of the model that
    serves from ``version`` on, ``training_offset`` the last example in it and ``trust`` its accounts of label
    sources. Where another model served before, ``former`` is its name and ``former_snapshot`` its state: it
    goes on as a challenger. ``refusal`` says why nothing changed, if nothing did.
    """

    id: str
    command: str
    serving: str
    former: str = ""
    version: int = 0
    training_offset: int = -1
    former_snapshot: bytes = b""
    trust: bytes = b""
    refusal: str = ""
    at: datetime

    @property
    def is_promotion(self) -> bool:
        """Whether a challenger took over; otherwise the model has gone back."""
        return self.command == "promote"


def handed_over(command: ModelCommand, former: Snapshot, serving: Snapshot) -> Handover:
    """Return what is told of a command that was obeyed: the states before it and after it."""
    other = former.design.name != serving.design.name
    return Handover(
        id=command.id,
        command=command_name(command),
        serving=serving.design.name,
        former=former.design.name if other else "",
        version=serving.version,
        training_offset=serving.training_offset,
        former_snapshot=encode_snapshot(former) if other else b"",
        trust=serving.trust,
        at=serving.created_at,
    )


def not_handed_over(command: ModelCommand, reason: str, at: datetime, serving: str) -> Handover:
    """Return what is told of a command that was refused; ``serving`` goes on."""
    name = command_name(command)
    return Handover(id=command.id, command=name, serving=serving, refusal=reason, at=at)


encode_handover = msgspec.json.Encoder().encode
"""Return an answer as JSON."""

decode_handover = decoder_of(msgspec.json.Decoder(Handover).decode, "an answer of the learner")
"""Return the answer of this JSON; anything else is an ``InvalidMessage``."""
