"""The table of terms: ranges, names, checksum, and keys of transactions that lack fields."""

import math

import msgspec
import pytest

from fraudstream.core import terms
from fraudstream.core.features import grid, observe
from fraudstream.core.history import CardHistory, CurrencyMeans, place_of
from fraudstream.core.look_tables import LookTables
from fraudstream.core.risk import UNKNOWN, EntityRisk, correct_label, note_label
from fraudstream.core.terms import FAMILIES, KEYS, RARE_TERMS, SIZES, STARTS, TERM_OF, TERMS, terms_checksum


def test_key_ranges_of_terms_follow_one_another_without_gap() -> None:
    ends = [STARTS[name] + SIZES[name] for name in SIZES]
    assert list(STARTS.values()) == [0, *ends[:-1]]
    assert len(TERM_OF) == KEYS == ends[-1]
    assert [TERM_OF[start] for start in STARTS.values()] == list(range(len(TERMS)))
    assert [TERM_OF[end - 1] for end in ends] == list(range(len(TERMS)))


def test_a_key_once_given_keeps_its_meaning() -> None:
    # Labels come days after keys were written down. A line here is never changed: append new terms below.
    given = (
        *("amount_fine 386", "amount_coarse * ratio_coarse 240", "ratio_fine * count 418"),
        *("ratio_coarse * surprise 168", "heat 11", "since_spike 10", "heat * since_spike 110"),
        *("surprise * heat 154", "surprise * since_spike 140", "ratio_coarse * last_label 36"),
        *("surprise * rate_long 168", "heat * rate_long 132", "since_genuine * episode_age 416"),
        *("rate_short * episode_age 192", "episode_days * fraud_run 427", "episode_days * genuine_run 427"),
        *("surprise * fraud_run 98", "surprise 14", "surprise * episode_age 224", "circumstances 8192"),
        *("price * entry_mode * merchant_group 8192", "circumstances * price * entry_mode 8192"),
        *("circumstances * merchant_group * gender 8192",),
        *("circumstances * gender * card_type * entry_mode 8192", "circumstances * bank 8192"),
        *("circumstances * price * gender 8192", "circumstances * merchant_group 8192"),
        *("circumstances * card_type 8192", "circumstances * price 8192"),
        *("circumstances * residence_country 8192",),
        *("circumstances * gender * card_type * entry_mode * merchant_group 8192",),
        *("circumstances * bank * gender 8192", "hour_rarity 7", "pace 8"),
        *("novelty 8", "novelty * ratio_here 160", "novelty * pace_fine 112", "novelty * hour_share 80"),
        *("astray 12", "novelty * astray 96", "ratio_here_fine 38", "ratio_here * price_level 180"),
        *("leaning ratio_here_coarse 18", "leaning newness 20", "leaning hour_share 20"),
        *("leaning pace_coarse 16",),
    )
    assert tuple(f"{name} {size}" for name, size in SIZES.items()) == given


def test_every_term_has_a_family_and_a_name_of_its_own() -> None:
    assert {term.family for term in TERMS} == set(FAMILIES)
    assert len({term.name for term in TERMS}) == len(TERMS)


def test_the_checksum_changes_with_the_meaning_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = terms_checksum()
    assert before == terms_checksum()
    monkeypatch.setattr(terms, "TERMS", (*TERMS[:-1], msgspec.structs.replace(TERMS[-1], retired=True)))
    assert terms_checksum() != before


@pytest.mark.parametrize(
    ("has_amount", "has_card", "has_terminal", "families"),
    [
        (
            True,
            True,
            True,
            {
                **{"amount": 1, "card": 4, "spikes": 5, "terminal": 4, "card and terminal": 5, "place": 3},
                "rhythm": 2,
            },
        ),
        (True, True, False, {"amount": 1, "card": 4, "spikes": 5, "rhythm": 2}),
        (True, False, True, {"amount": 1, "terminal": 4, "rhythm": 1}),
        (
            False,
            True,
            True,
            {"spikes": 3, "terminal": 4, "card and terminal": 1, "place": 1, "rhythm": 1},
        ),
        (False, True, False, {"spikes": 3, "rhythm": 1}),
        (False, False, True, {"terminal": 4}),
        (True, False, False, {}),
        (False, False, False, {}),
    ],
)
def test_a_usual_transaction_has_the_common_terms_whose_fields_it_has(
    has_amount: bool, has_card: bool, has_terminal: bool, families: dict[str, int]
) -> None:
    amount = 50.0 if has_amount else None
    mean = CurrencyMeans.starting_with(50.0) if has_amount else None
    history = CardHistory() if has_card else None
    risk = UNKNOWN if has_terminal else None

    seen = observe(1e9, amount, mean, history, risk, LookTables())

    found: dict[str, int] = {}
    for key in seen.keys:
        family = TERMS[TERM_OF[key]].family
        found[family] = found.get(family, 0) + 1
    assert found == families
    assert list(seen.keys) == sorted(set(seen.keys))


def test_without_a_card_the_ratio_is_unknown_and_the_relative_amount_is_not() -> None:
    seen = observe(1e9, 100.0, CurrencyMeans.starting_with(50.0), None, UNKNOWN, LookTables())
    assert (seen.ratio, seen.relative_amount, seen.spike) == (0.0, 2.0, 0.0)


@pytest.mark.parametrize(
    ("hours", "share"), [({}, 1.0), ({0: 0}, 168 / 268), ({0: 100}, 101 * 168 / 268), ({5: 100}, 168 / 268)]
)
def test_an_hour_is_rare_by_what_was_paid_in_it_before(hours: dict[int, int], share: float) -> None:
    means = CurrencyMeans.starting_with(50.0)
    for hour, count in hours.items():
        means.hours[hour] = count
        means.timed = 100

    seen = observe(168 * 3_600.0, 50.0, means, CardHistory(), UNKNOWN, LookTables())

    assert seen.hour_share == pytest.approx(share)


@pytest.mark.parametrize(
    ("recent", "steady", "gone_days", "pace"),
    [
        (0.0, 0.0, 0.0, 0.25 / 1.25),
        (6.0, 6.0, 0.0, 6.25 / 7.25),
        (3.0, 30.0, 0.0, 3.25 / 1.25),
        (1.0, 30.0, 9.0, 0.25),
    ],
)
def test_pace_compares_a_card_s_last_day_with_its_last_month(
    recent: float, steady: float, gone_days: float, pace: float
) -> None:
    #   known for 1,000 days: or, with as many uses of late as ever, since now
    at = 1e9
    since = at if recent == steady else at - 1_000 * 86_400
    history = CardHistory(count=3, recent=recent, steady=steady, seen_at=at - gone_days * 86_400, since=since)

    seen = observe(at, None, None, history, None, LookTables())

    assert seen.pace == pytest.approx(pace, abs=0.001)


@pytest.mark.parametrize(
    ("hour_count", "recent", "rare"),
    [(100, 0.0, []), (24, 0.0, ["hour_rarity"]), (100, 9.0, ["pace"]), (0, 9.0, ["hour_rarity", "pace"])],
)
def test_a_rare_term_is_there_for_unusual_values_only(
    hour_count: int, recent: float, rare: list[str]
) -> None:
    means = CurrencyMeans.starting_with(50.0)
    means.hours = [100] * 168
    means.hours[0], means.timed = hour_count, 16_800
    history = CardHistory(count=900, recent=recent, steady=30.0, seen_at=604_800.0, since=-1e9)

    seen = observe(168 * 3_600.0, 50.0, means, history, UNKNOWN, LookTables())

    assert [TERMS[TERM_OF[key]].name for key in seen.keys if TERM_OF[key] in RARE_TERMS] == rare


@pytest.mark.parametrize("low", [-6, -1, 0])
@pytest.mark.parametrize("steps", [1, 4, 32])
def test_a_grid_has_an_edge_at_every_power_of_two_it_spans(low: int, steps: int) -> None:
    high = low + 5
    edges = [grid(2.0**octave, low, high, steps) for octave in range(low, high + 1)]
    assert edges == [steps * octave + 1 for octave in range(6)]
    assert grid(0.0, low, high, steps) == 0
    assert grid(1e9, low, high, steps) == steps * 5 + 1


NOVEL = ["novelty", "novelty * ratio_here", "novelty * pace_fine", "novelty * hour_share"]
FAVOURITES = "".join(place_of(name) for name in ("home", "shop", "home", "pub"))


@pytest.mark.parametrize(
    ("places", "placed", "moved", "terminal", "novelty", "names"),
    [
        (FAVOURITES, 40.0, 0.0, "home", 0.0, []),
        (FAVOURITES, 40.0, 0.0, "abroad", 42.0, NOVEL),
        (FAVOURITES, 40.0, 20.0, "abroad", 2.0, NOVEL),
        (FAVOURITES, 40.0, 40.0, "abroad", 42 / 41, []),
        (FAVOURITES[:3], 3.0, 0.0, "abroad", 0.0, []),
    ],
    ids=["known place", "never elsewhere", "now and then", "always elsewhere", "card hardly known"],
)
def test_a_new_terminal_counts_for_a_card_that_seldom_changes(  # noqa: PLR0917
    places: str, placed: float, moved: float, terminal: str, novelty: float, names: list[str]
) -> None:
    history = CardHistory(count=9, amounts=9.0, places=places, placed=placed, moved=moved)
    means = CurrencyMeans.starting_with(50.0)

    seen = observe(1e9, 50.0, means, history, UNKNOWN, LookTables(), place_of(terminal))

    assert seen.novelty == pytest.approx(novelty)
    found = [TERMS[TERM_OF[key]].name for key in seen.keys if TERM_OF[key] in RARE_TERMS]
    assert [name for name in found if name.startswith("novelty")] == names


def test_a_card_forgets_all_but_its_last_places_and_its_straying_within_a_day() -> None:
    history, means = CardHistory(), CurrencyMeans.starting_with(50.0)
    day = 86_400.0

    for number in range(40):
        name = "home" if number < 39 else "abroad"
        seen = observe(number * day, 50.0, means, history, UNKNOWN, LookTables(), place_of(name))
        seen.fold_into(history, number)

    assert len(history.places) == 16
    assert history.places[-2:] == place_of("home") + place_of("abroad")
    assert history.astray == 1.0
    later = observe(41 * day, 50.0, means, history, UNKNOWN, LookTables(), place_of("home"))
    assert later.astray == pytest.approx(math.exp(-2.0))
    assert later.novelty == 0.0


@pytest.mark.parametrize("fraud", [False, True])
def test_an_amount_is_measured_by_what_genuine_cards_pay_at_its_terminal(fraud: bool) -> None:
    tables, dear, plain = LookTables(), EntityRisk(), EntityRisk()
    for at in range(200):
        note_label(dear, tables, float(at), 4.0, 4.0, fraud)
        note_label(plain, tables, float(at), 1.0, 1.0, False)
    history, means = CardHistory(count=9, amounts=9.0), CurrencyMeans.starting_with(50.0)

    there = observe(1e9, 200.0, means, history, dear, tables)
    elsewhere = observe(1e9, 200.0, means, history, plain, tables)

    assert there.ratio == elsewhere.ratio == 4.0
    assert there.level - elsewhere.level == (0.0 if fraud else pytest.approx(2.0, abs=0.1))


def test_a_corrected_label_leaves_the_price_levels_as_if_it_had_been_right() -> None:
    tables, risk, right, right_risk = LookTables(), EntityRisk(), LookTables(), EntityRisk()
    for at, ratio in enumerate((0.5, 2.0, 8.0)):
        note_label(risk, tables, float(at), ratio, 1.0, ratio == 2.0)
        if ratio != 8.0:
            note_label(right_risk, right, float(at), ratio, 1.0, False)

    correct_label(risk, tables, 1.0, 2.0, 1.0, False)
    correct_label(risk, tables, 2.0, 8.0, 1.0, True)

    assert (tables.levels, tables.level_sum) == (right.levels, right.level_sum) == (2, 0.0)
    assert (risk.levels, risk.level_sum) == (right_risk.levels, right_risk.level_sum)


def test_only_values_of_leaning_terms_have_a_twin_and_it_stands_in_the_second_half() -> None:
    for term in TERMS:
        start, size = STARTS[term.name], SIZES[term.name]
        apart = [terms.TWINS[key] for key in range(start, start + size)]
        half = size // 2
        assert apart == ([half] * half + [0] * half if term.leaning else [0] * size)
    assert terms.TWINS[terms.FIRST_LEANING] > 0
    assert not any(terms.TWINS[: terms.FIRST_LEANING])
