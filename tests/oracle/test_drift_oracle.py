"""Detectors of change against River's own, alarm for alarm."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from fraudstream.core.adwin import AdaptiveWindow, PageHinkley


def changing(seed: int, length: int, rate: float) -> list[float]:
    """Values whose mean jumps now and then."""
    rng = random.Random(seed)
    mean, values = rng.random(), []
    for _ in range(length):
        if rng.random() < rate:
            mean = rng.random() * rng.choice([0.1, 1.0, 8.0])
        values.append(rng.expovariate(1.0) * mean if rng.random() < 0.5 else float(rng.random() < mean))
    return values


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(0, 6_000),
    rate=st.sampled_from([0.0, 0.0005, 0.01]),
    delta=st.sampled_from([0.002, 1e-4, 1e-6]),
)
def test_every_change_of_mean_is_found_when_river_finds_it(
    seed: int, length: int, rate: float, delta: float
) -> None:
    ours, theirs = AdaptiveWindow(delta), drift.ADWIN(delta=delta)

    for at, value in enumerate(changing(seed, length, rate)):
        theirs.update(value)
        assert ours.update(value) is bool(theirs.drift_detected), at
        assert ours.width == theirs.width
        assert ours.total == pytest.approx(theirs.total, rel=1e-12, abs=1e-12)
        assert ours.variance == pytest.approx(theirs._helper.get_variance(), rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(0, 800), rate=st.sampled_from([0.0, 0.01, 0.1]))
def test_every_deviation_is_found_when_river_finds_it(seed: int, length: int, rate: float) -> None:
    ours = PageHinkley(least=10, delta=0.25, threshold=2.5)
    theirs = drift.PageHinkley(min_instances=10, delta=0.25, threshold=2.5)

    for at, value in enumerate(changing(seed, length, rate)):
        theirs.update(value)
        assert ours.update(value) is bool(theirs.drift_detected), at


@pytest.mark.parametrize("kind", [AdaptiveWindow(1e-4), PageHinkley(10, 0.25, 2.5)])
def test_a_detector_written_down_and_read_back_goes_on_as_if_nothing_had_happened(
    kind: AdaptiveWindow | PageHinkley,
) -> None:
    values = changing(7, 4_000, 0.002)
    whole = msgspec.convert(msgspec.to_builtins(kind), type(kind))
    cut = msgspec.convert(msgspec.to_builtins(kind), type(kind))

    found = [whole.update(value) for value in values]
    again = []
    for at, value in enumerate(values):
        if at % 97 == 0:
            cut = msgspec.msgpack.decode(msgspec.msgpack.encode(cut), type=type(kind))
        again.append(cut.update(value))

    assert again == found
    assert any(found)
    assert cut == whole


def test_a_window_of_a_million_values_stays_small() -> None:
    window = AdaptiveWindow(1e-6)
    for at in range(1_000_000):
        window.update(float(at % 7 == 0))

    assert len(msgspec.msgpack.encode(window)) < 3_000
