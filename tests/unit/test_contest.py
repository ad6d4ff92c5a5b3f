"""Challengers on sixty simulated days, by the stream's own core code: who is promoted, who never, who is taken
back."""

from datetime import datetime

from fraudstream.core.challengers import (
    KeyedChallenger,
)
from fraudstream.core.learning import Learner
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import Snapshot
from tests.contest_playing import PlayedStream, high_street

POOR = ("terminal", "card and terminal")
"""Families without which a model is worse in every world: what labels tell of terminals."""


def keyed(name: str, **constants: object) -> KeyedChallenger:
    return KeyedChallenger(ModelDesign(name, **constants))  # type: ignore[arg-type]


def test_a_worse_one_never_an_equal_one_not_a_better_one_promoted_and_taken_back_when_spoiled() -> None:
    stream = PlayedStream(
        ModelDesign("plain", without=POOR),
        keyed("full"),
        keyed("twin", without=POOR),
        keyed("stiff", without=POOR, alpha=0.001),
    )
    spoiled_on = 0

    def spoil(day: int) -> None:
        nonlocal spoiled_on
        if stream.served and day == stream.served[0][1] + 14:
            damaged = stream.learner.state(datetime.fromordinal(day))
            spoiled_on = day
            stream.learner.go_on_with(_without_weights(damaged))

    stream.play(high_street(), spoil)

    (promoted, promoted_on), (again, again_on) = stream.served
    print(
        f"promoted after {promoted_on - 738886} days, spoiled 14 days later, back {again_on - spoiled_on} later"
    )
    assert promoted == "full"
    assert again in {"plain", "twin"}
    assert 0 < spoiled_on < again_on
    told = [one for one in stream.reports if one.verdict.better]
    assert {one.challenger for one in told} == {"full", "plain", "twin"}
    before_spoiling = [one for one in told if one.told_at.toordinal() < spoiled_on]
    assert {one.challenger for one in before_spoiling} == {"full"}


def _without_weights(snapshot: Snapshot) -> Snapshot:
    """A model that has lost what it knew and hardly learns: what a bad relearning or a wrong constant does."""
    lost = Learner(design=ModelDesign(snapshot.design.name, alpha=1e-4))
    lost.training_offset = snapshot.training_offset
    return lost.state(snapshot.created_at)
