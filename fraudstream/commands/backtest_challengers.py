"""Estimators given by import path, tried in place of ours on the same keys, labels and times."""

import importlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from river import base, compose
from river.base import AnomalyDetector

from fraudstream.core.terms import plain_features
from fraudstream.errors import InvalidInput


class Challenger:
    """A River estimator behind the two verbs of a backtest, its CPU time beside.

    Features are a mapping of each plain key to 1. A classifier gives its probability of fraud (class
    ``True``), an anomaly detector its anomaly score and a regressor its prediction, both held within [0, 1].

    Attributes
    ----------
    cpu_ns
        CPU time of its scoring and learning so far.
    """

    def __init__(self, name: str, estimator: base.Estimator) -> None:
        self.name = name
        self.cpu_ns = 0
        model: Any = estimator
        self._learn: Callable[[dict[int, int], bool], object] = model.learn_one
        kind = _scores_with(estimator)
        if isinstance(kind, AnomalyDetector):
            self._score = model.score_one
            self._learn = lambda x, _: model.learn_one(x)
        elif isinstance(kind, base.Regressor):
            self._score = model.predict_one
            self._learn = lambda x, y: model.learn_one(x, float(y))
        elif isinstance(kind, base.Classifier):
            self._score = lambda x: model.predict_proba_one(x).get(True, 0.0)
        else:
            fault = f"{name} is no classifier, regressor or anomaly detector"
            raise InvalidInput(fault)

    def score(self, keys: tuple[int, ...]) -> float:
        """Return the estimate that a transaction with these keys is fraud.

        Raises
        ------
        InvalidInput
            The estimator gives no number.
        """
        started = time.thread_time_ns()
        score = float(self._score(plain_features(keys)))
        self.cpu_ns += time.thread_time_ns() - started
        if math.isnan(score):
            fault = f"{self.name} gives no number as a score"
            raise InvalidInput(fault)
        return min(max(score, 0.0), 1.0)

    def learn(self, keys: tuple[int, ...], fraud: bool) -> None:
        """Learn one label."""
        started = time.thread_time_ns()
        self._learn(plain_features(keys), fraud)
        self.cpu_ns += time.thread_time_ns() - started


def _scores_with(estimator: base.Estimator) -> base.Estimator:
    """Return the estimator itself, or of a pipeline the last step: what its scores come from."""
    while isinstance(estimator, compose.Pipeline):
        estimator = list(estimator.steps.values())[-1]
    return estimator


def load_challenger(path: str) -> Challenger:
    """Return the estimator at ``module:name``: a class, a function that makes one, or one ready to use.

    Modules are looked for in the current folder too.

    Raises
    ------
    InvalidInput
        There is nothing of that name, or it is no estimator that can score.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        fault = f"expected a challenger as import.path:Name, got {path!r}"
        raise InvalidInput(fault)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
        estimator = found if isinstance(found, base.Estimator) else found()
    except (ImportError, AttributeError, TypeError) as error:
        fault = f"the challenger {path} cannot be made: {error}"
        raise InvalidInput(fault) from error
    if not isinstance(estimator, base.Estimator):
        fault = f"{path} gives a {type(estimator).__name__}, no River estimator"
        raise InvalidInput(fault)
    return Challenger(path, estimator)
