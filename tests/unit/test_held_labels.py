"""What is published of labels that are not believed."""

import random

from fraudstream.core.label_trust import Held, Quarantine
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import LabelPosition, TrainingExample
from fraudstream.core.source_alarms import decode_held
from fraudstream.settings import Settings
from fraudstream.topics import Topics
from tables.held_labels import HeldLabels
from tests.unit.test_learning import example


def flood() -> list[TrainingExample]:
    """Labels of one day, from two sources."""
    rng = random.Random(1)
    return [
        example(
            number,
            "fraud" if rng.random() < 0.2 else "genuine",
            label_position=LabelPosition(0, number),
            labelled_by="ann" if number % 2 else "bo",
        )
        for number in range(100)
    ]


def learned(labels_per_day: int) -> Learner:
    learner = Learner(limits=Limits(labels_per_day=labels_per_day))
    for offset, one in enumerate(flood()):
        learner.learn(one, offset)
    return learner


def test_another_state_publishes_what_it_holds_back_and_the_one_before_it_believed() -> None:
    before, after = learned(30), learned(20)
    HeldLabels.of(before)
    found = HeldLabels().and_new(before, after)
    assert len(found.held) == 2 * 10
    assert not any(before.trust.was_held(one.example, one.offset) for one in found.held)


def test_what_waits_to_be_published_is_not_lost_to_another_state() -> None:
    before, after = learned(30), learned(30)
    found = HeldLabels.of(before).and_new(before, after)
    assert len(found.held) == 2 * 20
    assert HeldLabels.of(before) == HeldLabels([], [])


def test_a_quarantine_the_state_before_knew_of_raises_no_second_alarm() -> None:
    before, after = Learner(), Learner()
    before.trust.exclude(flood()[1], 1)
    (known,) = before.trust.quarantined()
    other = "customer:cat"
    after._quarantines += [Quarantine(name, Held.HIDES, 0.0, 60, 1) for name in (known, other)]
    assert [one.source for one in HeldLabels().and_new(before, after).quarantines] == [other]


def test_every_label_held_back_becomes_a_message_that_can_be_released() -> None:
    found = HeldLabels.of(learned(30))
    topics = Topics(Settings())
    records = found.records(topics)
    assert {record.topic for record in records} == {topics.quarantined_labels.name}
    assert [decode_held(record.value) for record in records if record.value] == found.held
