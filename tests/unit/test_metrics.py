"""Metrics: declared once, documented, with few label values."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fraudstream.commands.reference import metrics_page, settings_page, topics_page
from fraudstream.metrics import Metrics, create_registry

DOCS = Path(__file__).parents[2] / "docs"


def test_every_metric_is_named_by_noun_and_unit_and_says_what_to_do() -> None:
    for metric in Metrics(CollectorRegistry()).declared:
        assert re.fullmatch(r"fraudstream(_[a-z]+)+", metric.name), metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert metric.meaning.endswith("."), metric
        assert metric.remedy.endswith("."), metric


def test_no_metric_has_a_label_that_grows_with_traffic() -> None:
    labels = {label for metric in Metrics(CollectorRegistry()).declared for label in metric.labels}

    few = {
        "action",
        "agent",
        "decision",
        "detector",
        "outcome",
        "reason",
        "source",
        "stage",
        "store",
        "topic",
    }
    bounded = {"segment", "value", "score_from", "population", "aspect", "challenger"}
    assert labels <= few | bounded


def test_two_processes_worth_of_metrics_do_not_share_values() -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    one.transactions.inc()

    assert b"fraudstream_transactions_total 1.0" in generate_latest(one.registry)
    assert b"fraudstream_transactions_total 0.0" in generate_latest(two.registry)


def test_the_registry_tells_of_the_process_itself() -> None:
    text = generate_latest(create_registry())

    assert b"process_resident_memory_bytes" in text
    assert b"python_gc_collections_total" in text


@pytest.mark.parametrize(
    ("page", "text"), [("metrics", metrics_page()), ("settings", settings_page()), ("topics", topics_page())]
)
def test_the_reference_pages_agree_with_the_code(page: str, text: str) -> None:
    written = (DOCS / f"{page}.md").read_text(encoding="utf-8")

    assert text in written, f"run: fraudstream reference {page} --into docs/{page}.md"
