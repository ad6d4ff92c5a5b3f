"""The command: files in, tables, JSON and a page out."""

import gzip
import html
import html.parser
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from river import linear_model

from fraudstream.cli import cli
from fraudstream.commands import backtest_run, backtest_speed
from fraudstream.commands.backtest import parse_hours, parse_test_from
from fraudstream.commands.backtest_challengers import load_challenger
from fraudstream.commands.backtest_labels import LabelFile
from fraudstream.commands.backtest_plots import Axis, Plot, axis
from fraudstream.commands.backtest_rows import History
from fraudstream.commands.backtest_speed import Speed, kept_speed
from fraudstream.commands.replay_rows import CAPSTONE_FIELDS, Format, ReplayFile
from fraudstream.core.wire_formats import load_wire_formats
from fraudstream.errors import InvalidInput
from tests.model_building import NOON

ROOT = Path(__file__).parents[2]
HIGH_STREET = ROOT / "data" / "high-street.csv.gz"
FORMATS = load_wire_formats(())
HANDBOOK = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,LABELLED\n"
KEYS = {
    *("rows", "test_rows", "average_precision", "roc_auc", "log_loss", "calibration_error", "alerts_per_day"),
    *("card_precision_at_100", "events_per_second", "cpu_us_per_event"),
}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep speeds of tests out of the user's folder."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def forgetful() -> linear_model.LogisticRegression:
    """Make an estimator the way a challenger's import path may name it."""
    return linear_model.LogisticRegression(intercept_init=-5)


def flat() -> dict[str, int]:
    """Make something that is no estimator."""
    return {}


def backtest(*arguments: object) -> None:
    cli.main(["backtest", *map(str, arguments)], standalone_mode=False, obj={})


def entries(kind: Format, *paths: Path, partitions: int = 1):
    files = [ReplayFile(path, kind, FORMATS, with_labels=True) for path in paths]
    return [entry for chunk in History(files, kind, FORMATS, partitions).chunks() for entry in chunk]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def capstone(*rows: tuple[str, str, str]) -> str:
    """Build a capstone file of rows with an id, a date and an hour."""
    line = "{},{},Wednesday,{},Visa,Tap,£5,POS,Food,France,France,France,M,25.2,RBS,0"
    return "\n".join([",".join(CAPSTONE_FIELDS), *(line.format(*row) for row in rows), ""])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest")
    backtest(
        *(HIGH_STREET, "--format", "handbook", "--label-delay", "4d", "--segment", "weekday"),
        *(
            "--challenger",
            f"{__name__}:forgetful",
            "--json",
            folder / "a.json",
            "--report",
            folder / "a.html",
        ),
    )
    return folder


def test_the_numbers_people_ask_for_have_their_keys(found: Path) -> None:
    told = json.loads((found / "a.json").read_bytes())

    assert told.keys() >= KEYS
    assert (told["rows"], told["test_rows"]) == (34_238, 17_119)
    assert 0.0 < told["average_precision"] < 1.0
    assert told["cpu_us_per_event"] > 0.0
    assert [one["name"] for one in told["challengers"]] == [f"{__name__}:forgetful"]


def short_run(folder: Path, name: str, *options: str) -> dict[str, Any]:
    backtest(
        *(HIGH_STREET, "--format", "handbook", "--limit", 9_000, "--label-delay", "2d"),
        *("--json", folder / name, "--report", folder / f"{name}.html"),
        *("--challenger", f"{__name__}:forgetful", *options),
    )
    return json.loads((folder / name).read_bytes())


def test_two_runs_write_the_same_bytes_speeds_and_all(tmp_path: Path) -> None:
    one = short_run(tmp_path, "one")
    short_run(tmp_path, "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert one["cpu_us_per_event"] > 0.0
    assert one["events_per_second"] > 0.0
    assert one["challengers"][0]["cpu_us_per_event"] > 0.0
    assert one["speed_measured_at"].endswith("Z")


def test_a_speed_asked_for_anew_is_the_one_told_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_run(tmp_path, "one")
    monkeypatch.setattr(backtest_run, "machine", lambda: "x86_64")
    other = short_run(tmp_path, "two")
    monkeypatch.setattr(time, "process_time_ns", itertools.count(0, 1_000).__next__)
    new = short_run(tmp_path, "three", "--speed", "new")
    after = short_run(tmp_path, "four")

    assert (other["speed_measured_on"], new["speed_measured_on"]) == ("x86_64", "x86_64")
    assert new["events_per_second"] != other["events_per_second"]
    assert after == new


def test_without_speeds_their_keys_are_null(tmp_path: Path) -> None:
    told = short_run(tmp_path, "one", "--speed", "none")

    assert told["events_per_second"] is told["cpu_us_per_event"] is told["speed_measured_at"] is None
    assert told["challengers"][0]["cpu_us_per_event"] is None
    assert "events a second" not in (tmp_path / "one.html").read_text()


def measured(us: float) -> Speed:
    return Speed(cpu_us_per_event=us, events_per_second=1e6 / us, measured_at=NOON, measured_on="here")


def test_another_result_and_changed_code_are_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_speed(measured(10.0), b"result", tmp_path).cpu_us_per_event == 10.0
    assert kept_speed(measured(11.0), b"result", tmp_path).cpu_us_per_event == 10.0
    assert kept_speed(measured(12.0), b"other", tmp_path).cpu_us_per_event == 12.0
    monkeypatch.setattr(backtest_speed, "_code", lambda: [b"print('faster')"])
    assert kept_speed(measured(5.0), b"result", tmp_path).cpu_us_per_event == 5.0


def test_a_speed_that_cannot_be_kept_is_told_and_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "a file", "in the way")

    assert kept_speed(measured(10.0), b"result", folder).cpu_us_per_event == 10.0
    assert "another run will tell others" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, option: str) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        backtest(written(tmp_path / "garbage", "?"), "--format", "handbook", option, tmp_path / "no" / "file")


class _Page(html.parser.HTMLParser):
    """Notes what a page refers to, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.references += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(found: Path) -> None:
    page = _Page()
    text = (found / "a.html").read_text("utf-8")
    page.feed(text)

    assert page.open == []
    assert page.references == []
    assert "script" not in page.names
    assert "@import" not in text
    assert "url(" not in text
    assert page.names.count("svg") == 6


def test_the_page_tells_mistakes_with_their_reasons(found: Path) -> None:
    told = json.loads((found / "a.json").read_bytes())
    text = (found / "a.html").read_text("utf-8")

    assert html.escape(told["missed_frauds"][0]["reasons"][0]["text"]) in text
    assert "Worst false alarms" in text
    assert f"{__name__}:forgetful" in text


def test_a_terminal_is_told_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    backtest(HIGH_STREET, "--format", "handbook", "--limit", 9_000, "--json", tmp_path / "a")

    out = capsys.readouterr().out
    assert "average precision" in out
    assert f"{json.loads((tmp_path / 'a').read_bytes())['average_precision']:.4f}" in out


def test_what_never_becomes_known_is_truth_without_a_label(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        HANDBOOK + "1,2018-04-01 00:00:31,5,3,57.16,1,0\n2,2018-04-01 00:01:00,6,3,1.00,0,1\n",
    )

    kept, known = entries(Format.HANDBOOK, path)

    assert (kept.transaction.label, kept.fraud) == (None, True)
    assert (known.transaction.label, known.fraud) == ("genuine", False)


def test_several_files_are_one_stream_by_event_time(tmp_path: Path) -> None:
    #   a: 1 o'clock, 3 o'clock      b (compressed): 2 o'clock
    row = "{0},2018-04-01 0{0}:00:00,5,3,57.16,0,1\n"
    first = written(tmp_path / "a.csv", HANDBOOK + row.format(1) + row.format(3))
    second = tmp_path / "b.csv.gz"
    second.write_bytes(gzip.compress((HANDBOOK + row.format(2)).encode()))

    together = entries(Format.HANDBOOK, first, second)

    assert [entry.transaction.transaction_id for entry in together] == ["1", "2", "3"]


def test_capstone_rows_are_played_by_date_and_hour(tmp_path: Path) -> None:
    first = written(tmp_path / "a.csv", capstone(("b", "14-Oct-20", "3"), ("d", "14-Oct-20", "24")))
    second = written(tmp_path / "b.csv", capstone(("c", "14-Oct-20", "19"), ("a", "13-Oct-20", "23")))

    together = entries(Format.CAPSTONE, first, second)

    assert [entry.transaction.transaction_id for entry in together] == ["a", "b", "c", "d"]
    assert together[3].transaction.event_time == datetime(2020, 10, 15, tzinfo=UTC)


def test_a_capstone_row_without_a_readable_hour_stays_beside_the_row_before(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        capstone(
            ("b", "14-Oct-20", "3"), ("c", "sometime", "4"), ("d", "14-Oct-20", "4"), ("a", "14-Oct-20", "1")
        ),
    )

    assert [entry.transaction.transaction_id for entry in entries(Format.CAPSTONE, path)] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_json_lines_have_their_own_times(tmp_path: Path) -> None:
    line = (
        '{{"transaction_id":"{0}","event_time":"2026-03-01T0{0}:00:00Z","amount_minor":1,"currency":"EUR"}}\n'
    )
    path = written(tmp_path / "a.jsonl", line.format(2) + line.format(1))

    assert [entry.transaction.event_time.hour for entry in entries(Format.JSONL, path)] == [2, 1]


def test_json_lines_whose_time_is_an_hour_are_played_at_that_hour(tmp_path: Path) -> None:
    row = capstone(("a", "14-Oct-20", "3")).splitlines()[1].split(",")
    message = dict(zip(CAPSTONE_FIELDS.values(), row, strict=True))
    path = written(
        tmp_path / "a.jsonl", json.dumps(message) + "\n" + json.dumps(message | {"date": "?"}) + "\n"
    )

    first, second = entries(Format.JSONL, path)

    assert first.transaction.event_time == datetime(2020, 10, 14, 3, tzinfo=UTC)
    assert second.transaction.event_time == datetime(2000, 1, 1, 0, 0, 0, 10_000, tzinfo=UTC)


def partition_of(key: str) -> int:
    """Ask librdkafka's rule, written out in aiokafka too: murmur2 without its sign bit."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % 12


def test_cards_keep_to_the_partition_the_broker_would_give_them(tmp_path: Path) -> None:
    row = "{0},2018-04-01 00:00:00,{0},3,57.16,0,1\n"
    path = written(tmp_path / "a.csv", HANDBOOK + "".join(row.format(n) for n in (1, 2, 3, 1)))

    partitions = [entry.partition for entry in entries(Format.HANDBOOK, path, partitions=12)]

    assert partitions == [partition_of("1"), partition_of("2"), partition_of("3"), partition_of("1")]


def test_rows_the_stream_would_refuse_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{n},2018-04-01 00:00:0{n},5,3,{'-1' if n == 4 else 9},0,1\n" for n in range(9))
    backtest(
        *(written(tmp_path / "a.csv", HANDBOOK + rows), "--format", "handbook"),
        *("--json", tmp_path / "a.json", "--test-from", "0%"),
    )

    told = json.loads((tmp_path / "a.json").read_bytes())
    assert (told["rows"], told["refused_rows"]) == (8, 1)


def test_a_file_without_any_transaction_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", HANDBOOK + "1,never,5,3,57.16,0,1\n")
    with pytest.raises(InvalidInput, match="no row of"):
        backtest(path, "--format", "handbook")


def test_a_policy_and_a_cost_table_are_read(tmp_path: Path) -> None:
    policy = written(tmp_path / "policy.toml", "review_at = 0.0\ndecline_at = 1.0\n")
    costs = written(tmp_path / "costs.toml", "[default]\nreview_minor = 100\n")
    backtest(
        *(HIGH_STREET, "--format", "handbook", "--limit", 2_000, "--policy", policy, "--cost-table", costs),
        *("--json", tmp_path / "a.json"),
    )

    told = json.loads((tmp_path / "a.json").read_bytes())
    assert told["alerts"] == told["test_rows"] == 1_000
    assert told["savings"][0]["review_minor"] == 100_000


@pytest.mark.parametrize(
    "table", ["[EUR]\ncolour = 1\n", "[EUR]\nreview_minor = -1\n", "EUR = 1\n", "[EUR\n"]
)
def test_a_wrong_cost_table_is_refused_with_its_name(tmp_path: Path, table: str) -> None:
    costs = written(tmp_path / "costs.toml", table)
    with pytest.raises(InvalidInput, match=r"costs\.toml"):
        backtest(HIGH_STREET, "--format", "handbook", "--cost-table", costs)


@pytest.mark.parametrize("text", ["100%", "yesterday", "-3", "1.5"])
def test_a_test_part_that_begins_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected a share"):
        parse_test_from(text)


@pytest.mark.parametrize("text", ["7", "9-7", "0-25", "7-7"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected hours"):
        parse_hours(text)


def test_labels_in_batches_need_event_time() -> None:
    with pytest.raises(InvalidInput, match="--label-batch"):
        backtest(HIGH_STREET, "--format", "handbook", "--label-delay", "50rows", "--label-batch", "1d")


def test_any_river_estimator_can_be_named() -> None:
    anomalies = load_challenger("river.anomaly:HalfSpaceTrees")
    regression = load_challenger("river.linear_model:LinearRegression")
    classifier = load_challenger("river.linear_model:LogisticRegression")
    for model in (anomalies, regression, classifier):
        assert 0.0 <= model.score((1, 2)) <= 1.0
        for _ in range(50):
            model.learn((1, 2), fraud=True)
            model.learn((3, 4), fraud=False)
        assert 0.0 <= model.score((1, 2)) <= 1.0
    assert regression.score((1, 2)) > regression.score((3, 4))
    assert classifier.score((1, 2)) > 0.5 > classifier.score((3, 4))
    assert classifier.cpu_ns > 0


@pytest.mark.parametrize(
    "path",
    [
        "river.linear_model",
        "river.linear_model:Nothing",
        "no_such_module:Nothing",
        "river.cluster:KMeans",
        f"{__name__}:flat",
    ],
)
def test_what_is_no_estimator_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        load_challenger(path)


def test_a_plot_keeps_marks_inside_and_text_harmless() -> None:
    plot = Plot(Axis("<x>", 0.0, 1.0, [(0.0, "0")]), axis("y", 3.0, str), "a < b")
    plot.line([(-5.0, -5.0), (9.0, 9.0)], "ours", "<name>")
    plot.bar(0.5, 0.2, 99.0, "fraud", "<told>")

    drawn = plot.svg()

    assert "62.0,272.0 536.0,34.0" in drawn
    assert "<x>" not in drawn
    assert "<name>" not in drawn
    assert "<told>" not in drawn


LABEL = '{{"label":"{}","source":"analyst","labelled_at":"2018-04-0{}T00:00:00Z","transaction_id":"{}"{}}}\n'


def test_labels_of_a_file_replace_those_of_the_rows(tmp_path: Path) -> None:
    #   1: fraud from day 2, corrected on day 4     2: of another card     3: never said anything of
    row = "{0},2018-04-01 0{0}:00:00,5,3,57.16,1,1\n"
    path = written(tmp_path / "a.csv", HANDBOOK + row.format(1) + row.format(2) + row.format(3))
    labels = LabelFile(
        written(
            tmp_path / "labels",
            LABEL.format("genuine", 4, 1, "")
            + LABEL.format("fraud", 2, 1, "")
            + LABEL.format("fraud", 3, 1, "")
            + LABEL.format("fraud", 2, 2, ',"card_id":"6"'),
        )
    )
    files = [ReplayFile(path, Format.HANDBOOK, FORMATS, with_labels=True)]

    [[one, two, three]] = History(files, Format.HANDBOOK, FORMATS, 1, labels).chunks()

    second = datetime(2018, 4, 2, tzinfo=UTC).timestamp()
    assert one.known == ((second, True), (second + 2 * 86_400, False))
    assert (one.fraud, two.fraud, three.fraud) == (False, None, None)
    assert two.known == three.known == ()


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '{"label":"fraud","source":"analyst","labelled_at":"2018-04-01T00:00:00Z","position":'
        '{"epoch":1,"partition":0,"offset":3}}',
    ],
)
def test_a_line_that_is_no_label_of_a_file_is_named(tmp_path: Path, line: str) -> None:
    good = LABEL.format("fraud", 2, 1, "")
    with pytest.raises(InvalidInput, match="line 2"):
        LabelFile(written(tmp_path / "labels", good + line))


def test_labels_with_times_of_their_own_go_with_no_delay(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels", LABEL.format("fraud", 2, 1, ""))
    with pytest.raises(InvalidInput, match="their own times"):
        backtest(HIGH_STREET, "--format", "handbook", "--labels", labels, "--label-delay", "7d")


def test_a_simulated_world_is_played_with_its_own_labels(tmp_path: Path) -> None:
    backtest(
        *(ROOT / "data" / "demo.jsonl", "--format", "jsonl", "--labels", ROOT / "data" / "demo.labels.jsonl"),
        *("--test-from", "0%", "--json", tmp_path / "a"),
    )

    told = json.loads((tmp_path / "a").read_bytes())
    assert (told["labels"], told["label_delay_seconds"]) == ("demo.labels.jsonl", None)
    assert 0 < told["test_frauds"] < told["test_rows"] < told["rows"] == 696


def test_a_legend_that_is_too_long_goes_on_in_a_row_above() -> None:
    plot = Plot(axis("x", 1.0, str), axis("y", 1.0, str), "two estimators")
    for name in ("fraudstream", "river.linear_model:LogisticRegression", "river.naive_bayes:BernoulliNB"):
        plot.line([(0.0, 0.0)], "rival", name)

    drawn = plot.svg()

    assert 'viewBox="0 -18 560 338"' in drawn
    assert drawn.count("translate(62 ") == 2
    assert "translate(62 16)" in drawn
