"""Challengers as people declare them: a TOML file of names, constants and River classifiers."""

import importlib
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from river import base

from fraudstream.core.challengers import Challenger, KeyedChallenger
from fraudstream.core.learner import PRIOR_LOGIT
from fraudstream.core.model_design import STANDARD, ModelDesign
from fraudstream.core.river_challengers import RiverChallenger
from fraudstream.errors import InvalidInput

_CALL = "estimator"
"""Field that makes a table among parameters stand for an object: it names what to call, with the rest."""


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One challenger.

    Without ``estimator`` it is a model of our own with the constants given, and without the terms or families
    of terms that ``without`` names. With it, it is the River classifier at ``module:Name``, called with
    ``parameters``. ``start`` says where it begins: from the ``beginning`` of the labels, or (a model of our
    own) from what the serving model knows now, ``serving``.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    start: Literal["beginning", "serving"] = "beginning"
    alpha: float = 0.3
    beta: float = 1.0
    intercept_init: float = PRIOR_LOGIT
    intercept_lr: float = 0.005
    without: tuple[str, ...] = ()
    estimator: str | None = None
    parameters: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.name == STANDARD:
            fault = f"{STANDARD!r} is the name of the model that serves at first"
            raise InvalidInput(fault)
        own = (self.alpha, self.beta, self.intercept_init, self.intercept_lr, self.without, self.start)
        if self.estimator is not None and own != (0.3, 1.0, PRIOR_LOGIT, 0.005, (), "beginning"):
            fault = (
                f"challenger {self.name}: constants of an estimator go under parameters, and it begins anew"
            )
            raise InvalidInput(fault)
        if self.estimator is None and self.parameters:
            fault = f"challenger {self.name}: parameters go together with estimator"
            raise InvalidInput(fault)

    @property
    def text(self) -> str:
        """All that was declared, in one form: another declaration is another challenger."""
        return msgspec.json.encode(self, order="sorted").decode()

    def design(self) -> ModelDesign:
        """Return name and constants of a model of our own."""
        return ModelDesign(
            self.name, self.alpha, self.beta, self.intercept_init, self.intercept_lr, self.without
        )

    def make(self) -> Challenger:
        """Return the challenger, untaught.

        Raises
        ------
        InvalidInput
            The estimator cannot be made, or is no classifier.
        """
        if self.estimator is None:
            return KeyedChallenger(self.design(), self.text)
        made = _made({_CALL: self.estimator, **self.parameters}, f"challenger {self.name}")
        if not isinstance(made, base.Estimator):
            fault = (
                f"challenger {self.name}: {self.estimator} gives a {type(made).__name__}, no River estimator"
            )
            raise InvalidInput(fault)
        return RiverChallenger(self.name, made, self.text)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    challenger: tuple[Declared, ...] = ()


def load_challengers(path: Path) -> dict[str, Declared]:
    """Read the challengers of a file, by name, each made once to see that it can be.

    Raises
    ------
    InvalidInput
        The file cannot be read, is no TOML, or declares something that is no challenger.
    """
    try:
        declared = parse_challengers(path.read_text("utf-8"))
        for one in declared.values():
            one.make()
    except (OSError, UnicodeDecodeError) as error:
        fault = f"{path}: cannot be read: {error}"
        raise InvalidInput(fault) from error
    except InvalidInput as error:
        fault = f"{path}: {error}"
        raise InvalidInput(fault) from error
    return declared


def parse_challengers(text: str) -> dict[str, Declared]:
    """Read challengers from text: see :func:`load_challengers`.

    Examples
    --------
    >>> found = parse_challengers('''
    ... [[challenger]]
    ... name = "slow"
    ... alpha = 0.1
    ... [[challenger]]
    ... name = "trees"
    ... estimator = "river.tree:HoeffdingTreeClassifier"
    ... parameters = { grace_period = 100 }
    ... ''')
    >>> found["slow"].alpha, found["trees"].make().name
    (0.1, 'trees')
    """
    try:
        declared = msgspec.convert(tomllib.loads(text), _File).challenger
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise InvalidInput(str(error)) from error
    found = {one.name: one for one in declared}
    if len(found) < len(declared):
        fault = "two challengers have one name"
        raise InvalidInput(fault)
    return found


def _made(table: Mapping[str, Any], whose: str) -> object:
    """Call what a table names with the rest of it; tables within it that name something come first."""
    path = table[_CALL]
    arguments = {
        name: _made(value, whose) if isinstance(value, dict) and _CALL in value else value
        for name, value in table.items()
        if name != _CALL
    }
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not module or not name:
        fault = f"{whose}: expected an estimator as import.path:Name, got {path!r}"
        raise InvalidInput(fault)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        called: Callable[..., object] = getattr(importlib.import_module(module), name)
        return called(**arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        fault = f"{whose}: {path} cannot be made: {error}"
        raise InvalidInput(fault) from error
