"""Challengers as people declare them."""

from pathlib import Path

import pytest

from fraudstream.challenger_file import load_challengers, parse_challengers
from fraudstream.core.challengers import KeyedChallenger
from fraudstream.core.river_challengers import RiverChallenger
from fraudstream.errors import InvalidInput


def test_constants_and_left_out_terms_make_a_model_of_our_own() -> None:
    found = parse_challengers('[[challenger]]\nname = "slow"\nalpha = 0.1\nwithout = ["terminal"]')["slow"]
    made = found.make()
    assert isinstance(made, KeyedChallenger)
    assert (made.name, made.declared) == ("slow", found.text)
    assert (found.design().alpha, found.design().without) == (0.1, ("terminal",))


def test_tables_among_parameters_are_made_first() -> None:
    text = """
    [[challenger]]
    name = "river"
    estimator = "river.linear_model:LogisticRegression"
    parameters = { optimizer = { estimator = "river.optim:FTRLProximal", alpha = 0.2, l1 = 0.0, l2 = 0.0 } }
    """
    made = parse_challengers(text)["river"].make()
    assert isinstance(made, RiverChallenger)
    assert made.snapshot().design.alpha == 0.2


def test_another_declaration_under_the_same_name_is_told_apart() -> None:
    one, other = (
        parse_challengers(f'[[challenger]]\nname = "a"\nalpha = {alpha}')["a"] for alpha in (0.1, 0.2)
    )
    assert one.text != other.text
    assert one.text == parse_challengers('[[challenger]]\nalpha = 0.10\nname = "a"')["a"].text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[challenger]]\nname = "standard"', "serves at first"),
        ('[[challenger]]\nname = "Slow one"', "matching regex"),
        ('[[challenger]]\nname = "a"\n[[challenger]]\nname = "a"', "two challengers have one name"),
        ('[[challenger]]\nname = "a"\nalfa = 1.0', "unknown field"),
        ('[[challenger]]\nname = "a"\nwithout = ["weather"]', "no term or family weather"),
        ('[[challenger]]\nname = "a"\nparameters = { x = 1 }', "go together with estimator"),
        ('[[challenger]]\nname = "a"\nestimator = "river.tree"', "import.path:Name"),
        ('[[challenger]]\nname = "a"\nestimator = "river.tree:Oak"', "cannot be made"),
        ('[[challenger]]\nname = "a"\nestimator = "builtins:dict"', "no River estimator"),
        (
            '[[challenger]]\nname = "a"\nestimator = "river.linear_model:LinearRegression"',
            "no River classifier",
        ),
        (
            '[[challenger]]\nname = "a"\nestimator = "river.dummy:NoChangeClassifier"\nalpha = 0.1',
            "parameters",
        ),
        ("[[challenger]", "Expected"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "challengers.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=fault) as told:
        load_challengers(file)
    assert str(file) in str(told.value)


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_challengers(Path("nowhere.toml"))
