"""The model against slower truths: its own formulas written plainly, and River's estimator."""

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, optim

from fraudstream.core.evaluation import average_precision, card_precision, evaluate
from fraudstream.core.features import observe
from fraudstream.core.history import CardHistory, CurrencyMeans, place_of
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.learner import KeyedFTRL
from fraudstream.core.look_tables import LookTables
from fraudstream.core.messages import LabelValue, Reason, Transaction
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.risk import UNKNOWN, EntityRisk, note_label
from fraudstream.core.terms import STARTS, TERMS
from tests.model_building import capstone_transactions, handbook_transactions
from tests.oracle.plain_model import PlainModel
from tests.oracle.river_model import RiverModel, ShortFTRL

START = datetime(2018, 4, 1, tzinfo=UTC).timestamp()


class Fast:
    """The project's own functions, driven by hand."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.tables = LookTables()
        self.risks: dict[str, EntityRisk] = {}
        self.cards: dict[str, CardHistory] = {}
        self.means: CurrencyMeans | None = None
        self.offset = 0

    def pay(self, t: float, card: str, terminal: str, amount: float) -> tuple[list[int], float, float]:
        self.means = self.means or CurrencyMeans.starting_with(amount)
        history = self.cards.setdefault(card, CardHistory())
        risk = self.risks.get(terminal, UNKNOWN)
        seen = observe(t, amount, self.means, history, risk, self.tables, place_of(terminal))
        seen.fold_into(history, self.offset)
        self.means.fold(self.offset, t, amount, seen.deviation_squared, self.window)
        self.offset += 1
        return list(seen.keys), seen.ratio, seen.relative_amount

    def label(self, t0: float, terminal: str, r: float, a: float, fraud: bool) -> None:
        note_label(self.risks.setdefault(terminal, EntityRisk()), self.tables, t0, r, a, fraud)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    window=st.sampled_from([20_000, 200]),
    fraud_rate=st.sampled_from([0.0, 0.02, 0.4]),
    spread=st.sampled_from([0.2, 1.0, 3.0]),
    disorder_days=st.sampled_from([0.0, 5.0]),
)
def test_every_key_is_that_of_the_formulas_in_any_world(
    seed: int, window: int, fraud_rate: float, spread: float, disorder_days: float
) -> None:
    rng = random.Random(seed)
    fast, plain = Fast(window), PlainModel(window=window)
    waiting = []
    for step in range(400):
        t = START + step * 7_000 + rng.uniform(0, disorder_days) * 86_400
        card, terminal = f"c{rng.randrange(12)}", f"m{rng.randrange(9)}"
        amount = rng.choice([0.0, round(rng.lognormvariate(3, spread), 2)])

        ours, theirs = fast.pay(t, card, terminal, amount), plain.pay(t, card, terminal, amount)

        assert ours[0] == theirs[0]
        assert ours[1:] == pytest.approx(theirs[1:], rel=1e-12)
        waiting.append((t, terminal, *ours[1:], rng.random() < fraud_rate))
        if len(waiting) > 30:
            due = waiting.pop(rng.randrange(len(waiting)) if disorder_days else 0)
            fast.label(*due)
            plain.label(*due)


def by_river(examples: list[tuple[tuple[int, ...], bool]], model: RiverModel) -> list[float]:
    """Score and learn with River's own code."""
    scores = []
    for keys, fraud in examples:
        scores.append(model.score(keys))
        model.learn(keys, fraud)
    return scores


def keyed_examples(count: int, seed: int) -> list[tuple[tuple[int, ...], bool]]:
    rng = random.Random(seed)
    examples = []
    for _ in range(count):
        keys = tuple(term * 50 + min(49, int(rng.expovariate(0.1))) for term in range(19))
        examples.append((keys, rng.random() < (0.4 if keys[3] % 7 == 0 else 0.01)))
    return examples


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_are_those_of_rivers_estimator(seed: int) -> None:
    examples = keyed_examples(5_000, seed)
    model = KeyedFTRL()

    ours = []
    for keys, fraud in examples:
        ours.append(model.score_keys(keys))
        model.learn_keys(keys, fraud)

    assert ours == pytest.approx(by_river(examples, RiverModel()), rel=1e-12)
    assert ours == by_river(examples, RiverModel(ShortFTRL))


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_with_keys_that_lean_are_those_of_rivers_parts(seed: int) -> None:
    rng = random.Random(seed)
    leaning = [STARTS[term.name] for term in TERMS if term.leaning]
    examples = []
    for keys, fraud in keyed_examples(5_000, seed):
        bad = rng.random() < (0.8 if fraud else 0.2)
        examples.append(((*keys, *(start + 3 * bad + rng.randrange(3) for start in leaning)), fraud))
    model = KeyedFTRL()

    ours = []
    for keys, fraud in examples:
        ours.append(model.score_keys(keys))
        model.learn_keys(keys, fraud)

    assert ours == pytest.approx(by_river(examples, RiverModel()), rel=1e-12)
    assert ours == by_river(examples, RiverModel(ShortFTRL))
    assert max(ours) > 0.5
    assert min(ours) < 0.01


def test_stock_river_lags_one_gradient_and_ranks_alike() -> None:
    examples = keyed_examples(6_000, 3)
    stock = linear_model.LogisticRegression(
        optim.FTRLProximal(alpha=0.3, beta=1.0, l1=0.0, l2=0.0), intercept_init=-5.0, intercept_lr=0.005
    )
    model = KeyedFTRL()

    ours, theirs = [], []
    for keys, fraud in examples:
        x = dict.fromkeys(keys, 1)
        ours.append(model.score_keys(keys))
        theirs.append(stock.predict_proba_one(x)[True])
        model.learn_keys(keys, fraud)
        stock.learn_one(x, fraud)

    truth = [fraud for _, fraud in examples]
    assert average_precision(ours, truth) == pytest.approx(average_precision(theirs, truth), abs=0.01)


PUBLISHED_TERMS = 19
"""The first terms of the table, whose keys and logits on the handbook's stream are published."""

KEYS_OF_ROWS = {
    0: "193 497 813 1089 1212 1232 1242 1376 1536 1646 1709 1841 2388 2404 3001 3428 3456 3536 3610",
    100_000: "219 509 817 1089 1214 1227 1257 1378 1531 1647 1709 1865 2180 2404 3001 3431 3456 3536 3610",
    500_000: "201 496 809 1075 1212 1231 1241 1376 1535 1644 1709 1841 2196 2404 3001 3434 3456 3536 3610",
    872_794: "201 497 821 1089 1212 1231 1241 1376 1535 1647 1709 1841 2180 2404 3001 3434 3456 3536 3610",
}
LOGIT_OF_ROWS = {100_000: -7.8682, 500_000: -6.3347, 872_792: -7.3367, 872_793: -6.3301, 872_794: -6.6601}


def logit(score: float) -> float:
    return math.log(score / (1.0 - score))


class Published:
    """Follows a pass and scores by the published terms alone, with the same learner and the same labels."""

    def __init__(self) -> None:
        self.model = KeyedFTRL()
        self.keys: tuple[int, ...] = ()
        self.score = 0.0

    def scored(self, _transaction: Transaction, _at: float, keys: tuple[int, ...], _score: float) -> bool:
        self.keys = keys[:PUBLISHED_TERMS]
        self.score = self.model.score_keys(self.keys)
        return False

    def explained(self, _transaction: Transaction, _told: tuple[Reason, ...]) -> None:
        raise AssertionError

    def learned(self, keys: tuple[int, ...], fraud: bool) -> None:
        self.model.learn_keys(keys[:PUBLISHED_TERMS], fraud)


@pytest.mark.shared_data
def test_the_handbook_stream_begins_with_the_published_keys_and_logits() -> None:
    published = Published()
    run = OfflinePass(watcher=published)

    keys, logits = {}, {}
    for row, transaction in enumerate(handbook_transactions(limit=100_001)):
        run.score(transaction)
        if row in KEYS_OF_ROWS:
            keys[row] = " ".join(map(str, published.keys))
            logits[row] = logit(published.score)

    assert keys == {row: KEYS_OF_ROWS[row] for row in (0, 100_000)}
    assert logits[100_000] == pytest.approx(LOGIT_OF_ROWS[100_000], abs=6e-5)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.shared_data
def test_the_handbook_stream_gives_the_published_keys_logits_and_precision() -> None:
    published = Published()
    run = OfflinePass(watcher=published)

    scores, truth, days, cards, total = [], [], [], [], 0
    ours = []
    keys = {}
    for row, transaction in enumerate(handbook_transactions()):
        ours.append(run.score(transaction))
        scores.append(published.score)
        total += sum(published.keys)
        if row in KEYS_OF_ROWS:
            keys[row] = " ".join(map(str, published.keys))
        truth.append(transaction.label is LabelValue.FRAUD)
        days.append(transaction.event_time.toordinal())
        cards.append(transaction.card_id)

    half = len(scores) // 2
    assert keys == KEYS_OF_ROWS
    assert total == 31_377_560_171
    assert {row: logit(scores[row]) for row in LOGIT_OF_ROWS} == pytest.approx(LOGIT_OF_ROWS, abs=6e-5)
    measured = evaluate(scores[half:], truth[half:])
    assert measured.average_precision == pytest.approx(0.8128, abs=5e-5)
    assert measured.roc_auc == pytest.approx(0.9141, abs=5e-5)
    assert measured.log_loss == pytest.approx(0.0144, abs=5e-5)
    whole_weeks = next(row for row, day in enumerate(days) if day == days[-1] - 41)
    shares = card_precision(
        days[whole_weeks:], cards[whole_weeks:], scores[whole_weeks:], truth[whole_weeks:]
    )
    assert len(shares) == 42
    assert shares.mean() == pytest.approx(0.317, abs=0.001)
    assert average_precision(ours[half:], truth[half:]) >= 0.812


@pytest.mark.slow
@pytest.mark.shared_data
def test_the_capstone_day_is_ranked_as_well_as_by_the_best_trees() -> None:
    transactions = capstone_transactions()
    run = OfflinePass(LabelDelay(transactions=5_000))

    scores = [run.score(transaction) for transaction in transactions]

    late = [
        (score, transaction.label is LabelValue.FRAUD)
        for score, transaction in list(zip(scores, transactions, strict=True))[len(scores) // 2 :]
        if (transaction.hour or 0) >= 7
    ]
    assert average_precision(*zip(*late, strict=True)) >= 0.853
