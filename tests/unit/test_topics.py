"""Topics: prefix, alignment, retention."""

import pytest

from fraudstream.settings import Settings
from fraudstream.topics import Topics


@pytest.fixture
def topics() -> Topics:
    return Topics(Settings.load({"FRAUDSTREAM_PARTITIONS": "6", "FRAUDSTREAM_TOPIC_PREFIX": "lab."}))


def test_every_topic_and_group_carries_the_prefix(topics: Topics) -> None:
    assert all(topic.name.startswith("lab.") for topic in topics)
    assert topics.app_id("sinks") == "lab.fraudstream-sinks"


def test_aligned_topics_have_the_partitions_of_transactions(topics: Topics) -> None:
    aligned = [topics.classifications, topics.card_history_changelog, topics.window_counts_changelog]

    assert [topic.partitions for topic in aligned] == [6, 6, 6]


def test_what_one_learner_reads_or_every_worker_reads_whole_has_one_partition(topics: Topics) -> None:
    single = [topics.training_examples, topics.model_snapshots, topics.entity_risk]

    assert [topic.partitions for topic in single] == [1, 1, 1]


def test_what_is_recovered_from_is_compacted_and_never_deleted(topics: Topics) -> None:
    kept = [topic for topic in topics if topic.config["cleanup.policy"] == "compact"]

    assert {topic.name.removeprefix("lab.") for topic in kept} == {
        "model-snapshots",
        "entity-risk",
        "model-watch",
        "quarantined-labels",
        "challenger-states",
        "fraudstream-scoring-card-history-changelog",
        "fraudstream-counting-window-counts-changelog",
        "fraudstream-labelling-waiting-labels-changelog",
    }
    assert not any("retention.ms" in topic.config for topic in kept)


def test_training_examples_are_kept_for_ever(topics: Topics) -> None:
    assert topics.training_examples.config["retention.ms"] == "-1"


def test_all_topics_are_listed_once_with_their_partitions(topics: Topics) -> None:
    assert list(topics.partitions().items()) == [(topic.name, topic.partitions) for topic in topics]
