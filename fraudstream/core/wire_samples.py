"""How a producer's first messages map to transactions, for somebody who is writing a wire format."""

from collections.abc import Iterable
from typing import Any

import msgspec

from fraudstream.core.masking import mask_card_numbers
from fraudstream.core.wire_formats import WireFormats
from fraudstream.errors import InvalidMessage


class SampleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one message.

    ``number`` counts from 1. ``wire_format`` names the format whose tests hold, None if there is none.
    ``transaction`` is the canonical form as JSON would have it, without the fields the message does not fill;
    ``missing`` names those among the fields that its format declares. Instead of both, ``fault`` says what is
    wrong, in which ``field``.
    """

    number: int
    wire_format: str | None
    transaction: dict[str, Any] | None = None
    missing: tuple[str, ...] = ()
    field: str = ""
    fault: str = ""


def describe_sample(formats: WireFormats, lines: Iterable[bytes], timestamp_ms: int) -> list[SampleResult]:
    """Decode messages one by one and tell what came of each; blank lines are passed over.

    ``timestamp_ms`` stands in for the timestamps the records would have. Never raises for what a line holds.
    """
    messages = filter(None, (line.strip() for line in lines))
    return [_describe(formats, message, number, timestamp_ms) for number, message in enumerate(messages, 1)]


def _describe(formats: WireFormats, message: bytes, number: int, timestamp_ms: int) -> SampleResult:
    name = None
    try:
        declaration = formats.match(message).declaration
        name = declaration.name
        transaction = formats.decode(message, timestamp_ms)
    except InvalidMessage as error:
        return SampleResult(
            number=number, wire_format=name, field=error.field, fault=mask_card_numbers(error.fault)
        )
    filled = {key: it for key, it in msgspec.to_builtins(transaction).items() if it is not None}
    missing = tuple(target for target in declaration.fields if target not in filled)
    return SampleResult(number=number, wire_format=name, transaction=filled, missing=missing)
