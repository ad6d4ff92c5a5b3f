"""How large a payment is."""

import numpy as np

from fraudstream.simulation.config import AmountPlan, AmountShape
from fraudstream.simulation.population import Floats, Integers

TAIL_LIMIT = 300.0
"""Largest multiple of a level an honest payment reaches; one Pareto draw in a million would buy a country."""

PRICE_POINTS = np.array([1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0])
"""What shops that know few prices charge, within one decade."""


def scatter(plan: AmountPlan, count: int, random: np.random.Generator) -> Floats:
    """Return factors around a card's level, of the plan's shape, never above ``TAIL_LIMIT``."""
    if plan.shape is AmountShape.GAMMA:
        shape = 1 / plan.spread**2
        factors = random.gamma(shape, 1 / shape, count)
    elif plan.shape is AmountShape.PARETO:
        index = 1.4 / plan.spread
        factors = (2 * (1 - random.random(count))) ** (-1 / index)
    else:
        factors = np.exp(random.normal(0.0, plan.spread, count))
    return np.minimum(factors, TAIL_LIMIT)


def growth(plan: AmountPlan, days: Floats) -> Floats:
    """Return by how much all amounts have grown ``days`` after the start: inflation and sudden shifts."""
    grown = (1 + plan.inflation_per_day) ** days
    for shift in plan.shifts:
        grown = np.where(days >= shift.day, grown * shift.factor, grown)
    return grown


def to_minor(plan: AmountPlan, amounts: Floats, steps: Integers, random: np.random.Generator) -> Integers:
    """Return payable amounts of at least 1: price points if the shape has them, and a share of round ones."""
    amounts = np.maximum(amounts, 1.0)
    if plan.shape is AmountShape.TIERS:
        decade = 10.0 ** np.floor(np.log10(amounts))
        nearest = np.abs(np.log(amounts / decade)[:, None] - np.log(PRICE_POINTS)).argmin(axis=1)
        amounts = decade * PRICE_POINTS[nearest]
    # What is below one step stays odd: rounding up would turn the small change of tested cards into notes.
    is_round = (random.random(len(amounts)) < plan.round_share) & (amounts >= steps)
    return np.where(is_round, np.round(amounts / steps) * steps, np.round(amounts)).astype(np.int64)
