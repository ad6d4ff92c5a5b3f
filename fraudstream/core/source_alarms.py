"""What people are told of sources that are not believed, and how their labels are kept."""

import msgspec

from fraudstream.core.decoding import decoder_of
from fraudstream.core.label_sources import source_name
from fraudstream.core.label_trust import Held, Quarantine
from fraudstream.core.learning_outcomes import HeldExample
from fraudstream.core.watching import Alarm, Detector, moment

_MEANING = {
    Held.INVENTS: "calls fraud what neither scores nor other sources do",
    Held.HIDES: "calls genuine what scores and other sources call fraud",
}


def source_alarm(quarantine: Quarantine) -> Alarm:
    """Return the alarm of a quarantine: before it, labels believed; after, the frauds among them."""
    text = (
        f"{quarantine.source} {_MEANING[quarantine.reason]}: in quarantine after {quarantine.labels} labels,"
        " its labels are kept and not learned (`fraudstream labels quarantine list`)"
    )
    at = moment(quarantine.at)
    return Alarm(
        detector=Detector.LABEL_SOURCE,
        raised_at=at,
        told_at=at,
        before=float(quarantine.labels),
        after=float(quarantine.frauds),
        text=text,
        moved=(),
        subject=quarantine.source,
    )


_encode = msgspec.json.Encoder().encode


def held_key(held: HeldExample) -> bytes:
    """Return what a label held back is known by: its source, and its place in the labels log."""
    example = held.example
    position = example.label_position
    name = source_name(example.label_source, example.labelled_by)
    return f"{position.partition}-{position.offset} {name}".encode()


def encode_held(held: HeldExample) -> bytes:
    """Return an example held back as JSON."""
    return _encode(held)


decode_held = decoder_of(msgspec.json.Decoder(HeldExample).decode, "a training example held back")
"""Return the example held back of this JSON; anything else is an ``InvalidMessage``."""
