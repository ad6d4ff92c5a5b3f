"""What a demo notes and shows, without any broker."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from fraudstream.commands.demo import closing_words
from fraudstream.commands.demo_state import LATEST, DemoState, Seen, SeenReason, SeenTransaction
from fraudstream.commands.demo_view import LivePage, PlainLines, model_text, page
from fraudstream.core.dead_letters import DeadLetter
from fraudstream.core.messages import Decision, LabelValue

FRAUD, GENUINE = LabelValue.FRAUD, LabelValue.GENUINE


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(clock):
    return DemoState(began=100.0, monotonic=clock)


def seen(number=0, score=0.1, decision=Decision.APPROVE, **changes):
    values = {
        "transaction": SeenTransaction(f"t{number}", 123_456, "GBP", "card-7", "terminal-3"),
        "event_time": datetime(2024, 3, 4, 9, 30, tzinfo=UTC),
        "score": score,
        "decision": decision,
        "reasons": (
            SeenReason("amount 9.0 times this card's usual", 2.5),
            SeenReason("countries agree", -0.2),
        ),
        "model_version": 1,
    }
    return Seen(**(values | changes))


def letter(offset=0, topic="transactions"):
    return DeadLetter(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp_ms=0,
        field="amount_minor",
        fault="expected an integer",
        failed_at=datetime(2024, 3, 4, tzinfo=UTC),
    )


def judged(state, number, score, truth, decision=Decision.APPROVE, **changes):
    state.truth[f"t{number}"] = truth
    state.classification(seen(number, score, decision, **changes))


def drawn(renderable):
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()


def test_everything_is_through_only_when_every_number_agrees(state):
    state.sent, state.classified, state.archived, state.counted = 10, 9, 9, 9
    state.dead_letter(letter(), "transactions")
    assert state.drained
    for name in ("sent", "classified", "archived", "counted", "dead_lettered"):
        right = getattr(state, name)
        setattr(state, name, right + 1)
        assert not state.drained, name
        setattr(state, name, right)


def test_a_dead_letter_that_was_written_twice_counts_once(state):
    for offset in (4, 4, 5):
        state.dead_letter(letter(offset), "transactions")
    assert state.dead_lettered == 2


def test_a_label_among_the_dead_letters_does_not_enter_the_balance(state):
    state.dead_letter(letter(topic="labels"), "transactions")
    assert (state.dead_lettered, state.labels_dead_lettered) == (0, 1)


def test_labels_are_under_way_until_they_are_learned_or_set_aside(state):
    state.labels_sent = 10
    state.model(1, 7)
    state.dead_letter(letter(topic="labels"), "transactions")
    assert state.labels_under_way == 2


def test_scores_of_the_prior_are_counted_and_not_judged(state):
    judged(state, 1, 0.0067, FRAUD, flags=("degraded",))
    judged(state, 2, 0.9, FRAUD)
    assert (state.classified, state.degraded, state.scores) == (2, 1, [0.9])


def test_precision_and_recall_are_of_what_was_alerted(state):
    judged(state, 1, 0.95, FRAUD, Decision.DECLINE)
    judged(state, 2, 0.5, GENUINE, Decision.REVIEW)
    judged(state, 3, 0.2, FRAUD)
    judged(state, 4, 0.1, GENUINE)
    quality = state.quality()
    assert (quality.precision, quality.recall) == (0.5, 0.5)
    assert quality.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_without_frauds_or_alerts_there_is_no_quality(state):
    judged(state, 1, 0.1, GENUINE)
    quality = state.quality()
    assert (quality.average_precision, quality.precision, quality.recall) == (None, None, None)


def test_the_latest_quality_forgets_the_clumsy_beginning(state):
    for number in range(LATEST):
        judged(state, number, 0.5, FRAUD if number % 2 else GENUINE)
    for number in range(LATEST):
        judged(state, number, 0.9 if number % 2 else 0.1, FRAUD if number % 2 else GENUINE)
    assert state.latest_quality().average_precision == 1
    assert state.quality().average_precision < 1
    assert state.trend[-1] == 1


def test_the_first_alert_is_timed_from_the_start_of_the_command(state, clock):
    clock.now = 112.5
    state.alert()
    clock.now = 120.0
    state.alert()
    assert state.first_alert_seconds == 12.5
    assert state.alerts == 2


def test_the_rate_is_over_the_latest_ticks(state, clock):
    for _ in range(40):
        state.tick()
        clock.now += 0.25
        state.sent += 100
    assert state.rate == pytest.approx(400)


def test_the_summary_holds_every_number_of_the_balance(state):
    state.sent, state.classified = 3, 2
    state.dead_letter(letter(), "transactions")
    summary = state.summary()
    assert summary["sent"] == summary["classified"] + summary["dead_lettered"]
    assert summary["average_precision"] is None
    assert summary["seconds_to_first_alert"] is None


def test_the_page_tells_alerts_with_reasons_in_words_and_the_truth_beside_them(state):
    state.world_clock = datetime(2024, 3, 4, 10, tzinfo=UTC)
    judged(state, 1, 0.97, FRAUD, Decision.DECLINE)
    text = drawn(page(state, "sending"))
    for expected in ("1,234.56 GBP", "0.97", "decline", "fraud", "amount 9.0 times this card's usual"):
        assert expected in text
    assert "countries agree" not in text


def test_the_page_shows_the_newest_alert_first(state):
    for number, score in enumerate((0.61, 0.62, 0.63)):
        judged(state, number, score, GENUINE, Decision.REVIEW)
    text = drawn(page(state, ""))
    assert text.index("0.63") < text.index("0.62") < text.index("0.61")


def test_amounts_are_shown_in_the_decimals_of_their_currency(state):
    yen = SeenTransaction("t1", 1_500, "JPY")
    judged(state, 1, 0.9, FRAUD, Decision.DECLINE, transaction=yen)
    assert "1,500 JPY" in drawn(page(state, ""))


def test_an_alert_by_a_rule_alone_still_says_what_its_score_rests_on(state):
    judged(state, 1, 0.1, GENUINE, Decision.REVIEW, reasons=(SeenReason("countries agree", -1.0),))
    assert "countries agree" in drawn(page(state, ""))


def test_the_age_of_the_model_grows_until_a_newer_one_comes(state, clock):
    assert "none yet" in model_text(state)
    state.model(3, 120)
    clock.now += 2
    assert model_text(state) == "version 3, 2.0 s old"


def test_plain_lines_come_every_two_seconds_and_tell_each_alert_once(state, clock):
    out = io.StringIO()
    lines = PlainLines(out, clock)
    lines.refresh(state)
    assert out.getvalue() == ""
    state.sent = 1
    judged(state, 1, 0.97, FRAUD, Decision.DECLINE)
    for _ in range(5):
        lines.refresh(state)
        clock.now += 1
    text = out.getvalue()
    assert text.count("sent 1 ") == 3
    assert text.count("decline 1,234.56 GBP of card-7 at terminal-3") == 1


def test_a_stage_is_told_at_once(state):
    out = io.StringIO()
    PlainLines(out).stage("starting a broker")
    assert out.getvalue() == "starting a broker\n"


def test_a_live_page_leaves_its_last_numbers_on_the_terminal(state):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with LivePage(console) as view:
        view.stage("starting")
        state.sent = 4_321
        view.refresh(state)
    assert "4,321" in console.file.getvalue()


def test_the_closing_words_say_that_nothing_was_lost_only_if_so(state):
    state.sent = state.classified = state.archived = state.counted = 5
    assert "nothing lost" in closing_words(state)
    state.archived = 4
    assert "nothing lost" not in closing_words(state)
    assert "ended before everything was through" in closing_words(state)


def test_seconds_count_from_the_start(state, clock):
    clock.now += timedelta(minutes=1).total_seconds()
    assert state.elapsed == 60
