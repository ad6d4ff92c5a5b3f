"""Snapshots as data: what comes back, and what is refused."""

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core import snapshot as module
from fraudstream.core.look_tables import LookTables
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from fraudstream.core.terms import KEYS, SIZES, STARTS, TERMS
from fraudstream.errors import InvalidSnapshot

finite = st.floats(allow_nan=False, allow_infinity=False)
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "version": 3,
        "training_offset": 41,
        "created_at": NOW,
        "learned": 42,
        "intercept": -5.25,
        "keys": (1, 7, KEYS - 1),
        "weights": (0.5, -0.25, 1e-300),
        "squares": (0.1, 0.2, 0.3),
        "tables": LookTables(labels=5, frauds=1),
        "typical": (0.125,) * len(TERMS),
    }
    return Snapshot(**{**fields, **changes})


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    keys = tuple(sorted(draw(st.sets(st.integers(0, KEYS - 1), max_size=40))))
    exactly = {"min_size": len(keys), "max_size": len(keys)}
    return snapshot(
        version=draw(st.integers(1, 2**60)),
        training_offset=draw(st.integers(-1, 2**60)),
        created_at=draw(st.datetimes(timezones=st.just(UTC))),
        intercept=draw(finite),
        keys=keys,
        weights=tuple(draw(st.lists(finite, **exactly))),
        squares=tuple(draw(st.lists(st.floats(0, allow_infinity=False), **exactly))),
        typical=tuple(draw(st.lists(finite, min_size=len(TERMS), max_size=len(TERMS)))),
    )


def with_body(encoded: bytes, body: list[Any]) -> bytes:
    envelope = msgspec.msgpack.decode(encoded)
    envelope[3] = msgspec.msgpack.encode(body)
    envelope[2] = hashlib.sha256(envelope[3]).digest()
    return msgspec.msgpack.encode(envelope)


def test_a_snapshot_of_an_earlier_or_a_later_release_ends_earlier_or_later() -> None:
    original = snapshot(design=ModelDesign("slow", alpha=0.1))
    encoded = encode_snapshot(original)
    body = msgspec.msgpack.decode(msgspec.msgpack.decode(encoded)[3])
    assert decode_snapshot(with_body(encoded, [*body, b"what comes later", 3])) == original
    for left_out in range(1, len(body) - module._Body.__struct_fields__.index("typical")):
        earlier = decode_snapshot(with_body(encoded, body[:-left_out]))
        assert (earlier.weights, earlier.typical) == (original.weights, original.typical)
    assert earlier == snapshot()


@given(snapshots())
def test_a_snapshot_comes_back_to_the_last_bit(original: Snapshot) -> None:
    encoded = encode_snapshot(original)
    assert decode_snapshot(encoded) == original
    assert encode_snapshot(decode_snapshot(encoded)) == encoded


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_refused(place: int, change: int) -> None:
    encoded = bytearray(encode_snapshot(snapshot()))
    encoded[place % len(encoded)] ^= change
    with pytest.raises(InvalidSnapshot):
        decode_snapshot(bytes(encoded))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidSnapshot):
        decode_snapshot(data)


def resealed(**changes: object) -> bytes:
    """Encode a snapshot whose body was changed and whose checksum is right all the same."""
    envelope = msgspec.msgpack.decode(encode_snapshot(snapshot()))
    fields = module._Body.__struct_fields__
    body = dict(zip(fields, msgspec.msgpack.decode(envelope[3]), strict=True))
    packed = msgspec.msgpack.encode([*{**body, **changes}.values()])
    return msgspec.msgpack.encode([envelope[0], envelope[1], hashlib.sha256(packed).digest(), packed])


def packed(kind: str, *numbers: float) -> bytes:
    import numpy as np

    return np.array(numbers, kind).tobytes()


def test_a_snapshot_without_a_term_is_read_and_that_term_begins_at_zero() -> None:
    #   written: all terms but "heat" (11 keys), so that every key from there on stands 11 lower
    at, size = STARTS["heat"], SIZES["heat"]
    names = [term.name for term in TERMS]
    written = resealed(
        terms=[item for item in SIZES.items() if item[0] != "heat"],
        typical=[float(place) for place, name in enumerate(names) if name != "heat"],
        keys=packed("<u4", at - 1, at, KEYS - 1 - size),
        weights=packed("<f8", 0.5, -0.25, 2.0),
    )

    read = decode_snapshot(written)

    assert (read.keys, read.weights) == ((at - 1, at + size, KEYS - 1), (0.5, -0.25, 2.0))
    assert [read.typical[names.index(name)] for name in ("heat", "since_spike")] == [0.0, 5.0]
    assert (read.added, read.dropped) == (("heat",), ())


def test_more_keys_than_can_be_numbered_are_refused_even_by_a_learner() -> None:
    with pytest.raises(InvalidSnapshot, match="more keys than can be numbered"):
        decode_snapshot(resealed(terms=[*SIZES.items(), ("vast", 2**60)]), drop_unknown=True)


def test_terms_in_another_order_keep_their_weights() -> None:
    first, last = "amount_fine", TERMS[-1].name
    between = [item for item in SIZES.items() if item[0] not in {first, last}]
    written = resealed(
        terms=[(last, SIZES[last]), *between, (first, SIZES[first])],
        keys=packed("<u4", 3, KEYS - SIZES[first] + 5),
        **{name: packed("<f8", 1.0, 2.0) for name in ("weights", "squares")},
    )

    read = decode_snapshot(written)

    assert read.keys == (5, STARTS[last] + 3)
    assert read.weights == read.squares == (2.0, 1.0)


def test_only_a_learner_goes_on_from_a_snapshot_with_terms_this_code_lacks() -> None:
    #   written: "heat" had 12 keys then, and there was one term more at the end
    at = STARTS["heat"]
    terms = [(name, 12 if name == "heat" else size) for name, size in SIZES.items()] + [("given * up", 8)]
    written = resealed(
        terms=terms,
        typical=[0.5] * len(terms),
        keys=packed("<u4", at, at + 12, KEYS + 1),
        weights=packed("<f8", 0.5, -0.25, 2.0),
    )

    with pytest.raises(InvalidSnapshot, match=r"lacks: heat, given \* up"):
        decode_snapshot(written)
    read = decode_snapshot(written, drop_unknown=True)

    assert (read.keys, read.weights) == ((STARTS["since_spike"],), (-0.25,))
    assert read.typical[[term.name for term in TERMS].index("heat")] == 0.0
    assert (read.added, read.dropped) == (("heat",), ("heat", "given * up"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"terms": "other"}, "other content"),
        ({"terms": [*SIZES.items(), ("later * term", 8)]}, "terms this code lacks: later \\* term"),
        ({"terms": [("amount_fine", 387), *list(SIZES.items())[1:]]}, "terms this code lacks: amount_fine"),
        ({"terms": [*SIZES.items(), ("heat", 11)]}, "a term twice"),
        ({"terms": []}, "no terms"),
        ({"terms": [*SIZES.items(), ("heat", 0)]}, "lacks: heat"),
        ({"weights": packed("<f8", 1.0)}, "differing length"),
        ({"weights": b"\0" * 7}, "cut"),
        ({"typical": [0.0]}, "differing length"),
        ({"weights": packed("<f8", 1.0, math.nan, 1.0)}, "not finite"),
        ({"squares": packed("<f8", 1.0, math.inf, 1.0)}, "not finite"),
        ({"squares": packed("<f8", 1.0, -1.0, 1.0)}, "no learner"),
        ({"intercept": math.nan}, "not finite"),
        ({"typical": [math.inf] * len(TERMS)}, "not finite"),
        ({"keys": packed("<u4", 7, 1, 9)}, "out of order"),
        ({"keys": packed("<u4", 1, 2, KEYS)}, "out of order"),
        ({"tables": LookTables(labels=1, frauds=2).to_row()}, "no learner"),
        ({"tables": LookTables(ratio_labels=[0]).to_row()}, "no learner"),
        ({"tables": LookTables(followed=0, followed_by_fraud=0).to_row()}, "no learner"),
        ({"version": "three"}, "other content"),
    ],
)
def test_content_no_learner_can_have_written_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidSnapshot, match=said):
        decode_snapshot(resealed(**changes))


def test_another_format_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(module, "FORMAT_VERSION", 99)
        encoded = encode_snapshot(snapshot())
    with pytest.raises(InvalidSnapshot, match="expected snapshot format 3, got 99"):
        decode_snapshot(encoded)


def test_a_snapshot_of_the_format_before_is_read_without_its_sums_of_gradients() -> None:
    original = snapshot(design=ModelDesign("slow", alpha=0.1))
    envelope = msgspec.msgpack.decode(encode_snapshot(original))
    body = msgspec.msgpack.decode(envelope[3])
    body.insert(module._Body.__struct_fields__.index("squares"), packed("<f8", -0.3, 0.2, 0.0))
    before = with_body(msgspec.msgpack.encode([envelope[0], 2, *envelope[2:]]), body)

    assert decode_snapshot(before) == original
    with pytest.raises(InvalidSnapshot, match="other content"):
        decode_snapshot(with_body(before, []))


def test_another_magic_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(module, "MAGIC", "someone else's")
        encoded = encode_snapshot(snapshot())
    with pytest.raises(InvalidSnapshot, match="someone else's"):
        decode_snapshot(encoded)
