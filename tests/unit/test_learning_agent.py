"""What the learner does with commands, its logs and its publisher in memory."""

from types import SimpleNamespace
from typing import cast

import pytest

from agents.learning import LearnExamples
from fraudstream.app import AgentApp
from fraudstream.context import WorkerContext
from fraudstream.core.codec import encode_training_example
from fraudstream.core.learning import Learner
from fraudstream.core.messages import TrainingExample
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.registry import Entry, Promote, Refusal
from fraudstream.core.snapshot import encode_snapshot
from fraudstream.delivery.lane import Lane
from fraudstream.settings import Settings
from tests.memory_logs import MemoryLogs, MemoryPublisher
from tests.model_building import NOON, example

CAREFUL = ModelDesign("careful", alpha=0.1)
EXAMPLES = [
    example(number, "fraud" if number % 4 == 0 else "genuine", terminal_id=f"m{number % 5}")
    for number in range(40)
]
LAST = 2 * (len(EXAMPLES) - 1)


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
def agent(publisher: MemoryPublisher) -> LearnExamples:
    """A learner that has published what it learned of the first twenty examples of a log of forty."""
    context = WorkerContext(Settings())
    logs = MemoryLogs()
    for one in EXAMPLES:
        logs.append(context.topics.training_examples.name, encode_training_example(one))
    context.__dict__["log_reader"] = logs
    app = SimpleNamespace(context=context, conf=SimpleNamespace(id="a-test"))
    made = LearnExamples(cast(AgentApp, app), cast(Lane, None))
    made._published_model._publisher = publisher  # type: ignore[assignment]
    teach(made, EXAMPLES[:20])
    return made


def teach(agent: LearnExamples, examples: list[TrainingExample], first: int = 0) -> list[bool]:
    return [agent._learn(one, 2 * number) for number, one in enumerate(examples, first)]


def taught(count: int, design: ModelDesign = CAREFUL) -> Learner:
    learner = Learner(design=design)
    for number, one in enumerate(EXAMPLES[:count]):
        learner.learn(one, 2 * number)
    return learner


def promotion(learner: Learner) -> Promote:
    state = learner.state(NOON)
    return Promote(
        id="p",
        by="ann",
        reason="better",
        sent_at=NOON,
        model=state.design.name,
        training_offset=state.training_offset,
        since=1,
        snapshot=encode_snapshot(state),
    )


@pytest.mark.parametrize("count", [10, 20, 40])
async def test_a_model_behind_or_ahead_of_the_learner_goes_on_where_both_have_learned_the_same(
    agent: LearnExamples, publisher: MemoryPublisher, count: int
) -> None:
    await agent._obey_one(promotion(taught(count)), 0)
    plain, terminals = taught(max(count, 20)), taught(max(count, 20), ModelDesign())
    entry = publisher.entry()
    assert isinstance(entry, Entry)
    assert (entry.design, entry.training_offset) == ("careful", 2 * (max(count, 20) - 1))
    assert agent._learner.model.weights == plain.model.weights
    assert agent._learner.model.intercept == plain.model.intercept
    assert (agent._learner.risks, agent._learner.tables) == (terminals.risks, terminals.tables)
    assert agent._learner.learned == max(count, 20)


async def test_what_was_learned_ahead_is_passed_over_when_its_slice_comes(agent: LearnExamples) -> None:
    await agent._obey_one(promotion(taught(40)), 0)
    weights = list(agent._learner.model.weights)
    assert not any(teach(agent, EXAMPLES[20:], 20))
    assert agent._learner.model.weights == weights
    assert agent._published_model.standing.recent.labels == 40
    assert agent._context.registry.get_sample_value("fraudstream_examples_learned_total") == 20


async def test_a_model_from_beyond_the_training_log_is_refused_and_the_learner_goes_on(
    agent: LearnExamples, publisher: MemoryPublisher
) -> None:
    ahead = taught(40)
    ahead.training_offset = LAST + 2
    await agent._obey_one(promotion(ahead), 0)
    refusal = publisher.entry()
    assert isinstance(refusal, Refusal)
    assert f"the training log ends at {LAST}" in refusal.reason
    assert agent._learner.design == ModelDesign()
    assert agent._learner.model.weights == taught(40, ModelDesign()).model.weights
