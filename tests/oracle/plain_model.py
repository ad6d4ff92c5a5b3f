"""The model's numbers worked out the slow way: one formula after another, dictionaries for state, every
grid by one function.

Written from the formulas alone, to hold the fast code against.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from math import exp, floor, log, log2, sqrt

LONG_AGO = -1e9
RATES = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def grid(x: float, low: int, high: int, steps: int) -> int:
    """Cut a value into ``steps`` bins an octave."""
    if x < 2**low:
        return 0
    return min(floor(steps * log2(x)) - steps * low + 1, steps * (high - low) + 1)


def look(x: float, low: int) -> int:
    """Cut a value into 64 bins, four an octave."""
    if x <= 0:
        return 0
    return min(max(floor(4 * (log2(x) - low)) + 1, 0), 63)


@dataclass
class Customer:
    """State of a card."""

    n: int = 0
    s: float = 0.0
    spk: float = 0.0
    spk_t: float = LONG_AGO
    ml: float = 0.0
    vl: float = 0.0
    times: list[float] = field(default_factory=list)
    visits: list[str] = field(default_factory=list)
    strange: list[float] = field(default_factory=list)


@dataclass
class Terminal:
    """State of a terminal."""

    f0: float = LONG_AGO
    g0: float = LONG_AGO
    last_t: float = LONG_AGO
    run: int = 0
    grun: int = 0
    last: int = 0
    n3: float = 0.0
    f3: float = 0.0
    n7: float = 0.0
    f7: float = 0.0
    lt: float = LONG_AGO
    octaves: list[float] = field(default_factory=list)


@dataclass
class PlainModel:
    """Everything that is remembered."""

    window: float = 20_000
    gm: float | None = None
    gn: int = 1
    var: float = 0.5
    rn: list[int] = field(default_factory=lambda: [0] * 64)
    rf: list[int] = field(default_factory=lambda: [0] * 64)
    an: list[int] = field(default_factory=lambda: [0] * 64)
    af: list[int] = field(default_factory=lambda: [0] * 64)
    n: int = 0
    f: int = 0
    pn: int = 1
    pf: int = 1
    hours: list[float] = field(default_factory=list)
    octaves: list[float] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)

    def q(self) -> float:
        """Overall fraud rate."""
        return (self.f + 0.5) / (self.n + 100)

    def pay(self, t: float, customer: str, terminal: str, amount: float) -> tuple[list[int], float, float]:
        """See one payment and remember it; return its keys, ratio and relative amount."""
        if self.gm is None:
            self.gm = max(amount, 0.01)
        c = self.customers.setdefault(customer, Customer())
        m = self.terminals.get(terminal, Terminal())
        mean = self.gm * (c.s + 1) / (c.n + 1)
        r, a = amount / mean, amount / self.gm
        la = log(max(amount, 0.01) / self.gm)
        mu = c.ml / (c.n + 1)
        sd = sqrt((c.vl + 3 * self.var) / (c.n + 3))
        z = (la - mu) / sd
        ds = (t - c.spk_t) / 86400
        h = c.spk * exp(-max(ds, 0.0) / 7)
        age = floor(t / 86400) - floor(m.f0 / 86400)
        clear = (t - m.g0) / 86400
        rate3, rate7 = (m.f3 + 0.01) / (m.n3 + 1), (m.f7 + 0.01) / (m.n7 + 1)

        a32, a2 = grid(a, -6, 6, 32), grid(a, -4, 5, 2)
        r2, r4 = grid(r, -1, 4, 2), grid(r, -4, 5, 4)
        n1 = grid(c.n, 0, 9, 1)
        zb = min(max(floor((z + 1) / 0.5) + 1, 0), 13)
        hb, sb = grid(h, -6, 3, 1), grid(ds, -2, 6, 1)
        cb, t2 = grid(clear, 0, 6, 4), grid(age, 0, 7, 2)
        ageb = max(min(age, 60), 0)
        runb, grb = grid(m.run, 0, 5, 1), grid(m.grun, 0, 5, 1)
        p3, p7 = bisect_right(RATES, rate3), bisect_right(RATES, rate7)
        pairs = [
            (0, 0, 1, a32),
            (386, a2, 12, r2),
            (626, r4, 11, n1),
            (1044, r2, 14, zb),
            (1212, 0, 1, hb),
            (1223, 0, 1, sb),
            (1233, hb, 10, sb),
            (1343, zb, 11, hb),
            (1497, zb, 10, sb),
            (1637, r2, 3, m.last),
            (1673, zb, 12, p7),
            (1841, hb, 12, p7),
            (1973, cb, 16, t2),
            (2389, p3, 16, t2),
            (2581, ageb, 7, runb),
            (3008, ageb, 7, grb),
            (3435, zb, 7, runb),
            (3533, 0, 1, zb),
            (3547, zb, 16, t2),
        ]
        hour = t // 3600 % 168
        share = (self.hours.count(hour) + 1) * 168 / (len(self.hours) + 168)
        hr, pc = grid(share, -6, -1, 1), grid(self.pace(c, t), 1, 4, 2)
        if hr < 6:
            pairs.append((110_267, 0, 1, hr))
        if pc > 0:
            pairs.append((110_274, 0, 1, pc))
        near, new = self.place_pairs(c, m, t, terminal, r, share)
        pairs += near
        keys = [offset + first * size + second for offset, first, size, second in pairs]

        if r >= 1:
            q, b = self.q(), look(r, -4)
            w = (self.rf[b] + 10 * min(0.5, q * r**3)) / (self.rn[b] + 10) - 2 * q
            if w >= 0.02:
                c.spk, c.spk_t = h + w, max(t, c.spk_t)
        c.s += min(amount, 2 * mean) / self.gm
        self.gm += (min(amount, 4 * self.gm) - self.gm) / min(self.gn + 1, self.window)
        d = min(max(la - mu, -2 * sd), 2 * sd)
        c.ml += mu + d
        c.vl += d * d
        self.var += (d * d - self.var) / min(self.gn + 100, self.window)
        self.gn += 1
        self.hours.append(hour)
        self.visit(c, t, terminal, new)
        return keys, r, a

    def pace(self, c: Customer, t: float) -> float:
        """How often a customer paid of late, over how often usually."""
        recent = steady = 0.0
        newest = None
        for then in c.times:
            if newest is not None and then > newest:
                recent *= exp(-(then - newest) / 86400)
                steady *= exp(-(then - newest) / 86400 / 30)
            recent, steady = recent + 1, steady + 1
            newest = then if newest is None else max(newest, then)
        gone = max(t - newest, 0.0) / 86400 if newest is not None else 0.0
        age = max(t - c.times[0], 0.0) / 86400 if c.times else 0.0
        span = 30 * (1 - exp(-age / 30))
        return (recent * exp(-gone) + 0.25) / ((steady * exp(-gone / 30) + 1) / (span + 1) + 0.25)

    def visit(self, c: Customer, t: float, terminal: str, new: int) -> None:
        """Remember when and where a customer paid."""
        c.n += 1
        c.times.append(t)
        c.visits.append(terminal)
        if new:
            c.strange.append(t)

    def place_pairs(  # noqa: PLR0917
        self, c: Customer, m: Terminal, t: float, terminal: str, r: float, share: float
    ) -> tuple[list[tuple[int, int, int, int]], int]:
        """What the place says, of a customer and of an amount; and the bin of its novelty."""
        level = self.level(m)
        here = 0.0 if r == 0 else 2 ** (log2(r) - level)
        r2h, r4h = (grid(here, -4, 5, steps) if here else 0 for steps in (2, 4))
        once_in = self.novelty(c, terminal)
        new = min(floor(2 * log2(once_in)), 7) if once_in >= 2**0.5 else 0
        lost = self.astray(c, t)
        lb = grid(lost, -2, 3, 2) if lost else 0
        vb = min(max(floor(2 * level + 0.5), -4), 4)
        pairs = []
        if new:
            pairs += [
                (110_282, 0, 1, new),
                (110_290, new, 20, r2h),
                (110_450, new, 14, grid(self.pace(c, t), -2, 4, 2)),
                (110_562, new, 10, grid(share, -6, 2, 1)),
            ]
        if lb:
            pairs.append((110_642, 0, 1, lb))
        if new and lb:
            pairs.append((110_654, new, 12, lb))
        pairs.append((110_750, 0, 1, r4h))
        if vb:
            pairs.append((110_788, r2h, 9, vb + 4))
        known = min(floor(2 * log2(once_in)) + 1, 9) if once_in else 0
        pairs += [
            (110_968, 0, 1, grid(here, -3, 4, 1) if here else 0),
            (110_986, 0, 1, known),
            (111_006, 0, 1, grid(share, -6, 2, 1)),
            (111_026, 0, 1, grid(self.pace(c, t), -2, 4, 1)),
        ]
        return pairs, new

    def novelty(self, c: Customer, terminal: str) -> float:
        """Once in how many payments a customer pays somewhere new, 0 at one of the last 16 places."""
        if len(c.visits) < 4 or terminal in c.visits[-16:]:
            return 0.0
        placed = moved = 0.0
        for number, then in enumerate(c.visits):
            placed = placed * 0.98 + 1
            moved = moved * 0.98 + (then not in c.visits[max(number - 16, 0) : number])
        return (placed + 2) / (moved + 1)

    def astray(self, c: Customer, t: float) -> float:
        """Payments at new places, faded within a day, each step of time only forward."""
        lost, newest = 0.0, None
        strange = list(c.strange)
        for then in c.times:
            if newest is not None and then > newest:
                lost *= exp(-(then - newest) / 86400)
            newest = then if newest is None else max(newest, then)
            if strange and strange[0] == then:
                strange.pop(0)
                lost += 1
        return lost * exp(-max(t - newest, 0.0) / 86400) if newest is not None else 0.0

    def level(self, m: Terminal) -> float:
        """Octaves by which customers pay more at a terminal than anywhere."""
        if not m.octaves:
            return 0.0
        overall = sum(self.octaves) / len(self.octaves)
        return sum(one - overall for one in m.octaves) / (len(m.octaves) + 5)

    def label(self, t0: float, terminal: str, r: float, a: float, fraud: bool) -> None:
        """Take in the label of a payment made at ``t0``."""
        self.n += 1
        self.rn[look(r, -4)] += 1
        self.an[look(a, -6)] += 1
        if fraud:
            self.f += 1
            self.rf[look(r, -4)] += 1
            self.af[look(a, -6)] += 1
        m = self.terminals.setdefault(terminal, Terminal())
        if not fraud and r > 0:
            for octaves in (self.octaves, m.octaves):
                octaves.append(floor(256 * min(max(log2(r), -4.0), 4.0) + 0.5) / 256)
        dt = t0 - m.lt
        e3, e7 = (exp(-dt / 3 / 86400), exp(-dt / 7 / 86400)) if dt > 0 else (1.0, 1.0)
        m.lt = max(t0, m.lt)
        m.n3, m.f3, m.n7, m.f7 = m.n3 * e3, m.f3 * e3, m.n7 * e7, m.f7 * e7
        newest = t0 >= m.last_t
        if not fraud:
            m.n3 += 1
            m.n7 += 1
            if newest:
                self.pn += m.last == 2
                m.last = 1
                m.grun += 1
                m.g0 = m.last_t = t0
            return
        q = self.q()
        known = [
            (f + 10 * min(0.5, q * max(1.0, x**3))) / (n + 10)
            for x, n, f in (
                (r, self.rn[look(r, -4)], self.rf[look(r, -4)]),
                (a, self.an[look(a, -6)], self.af[look(a, -6)]),
            )
        ]
        if max(known) > 2 * q:
            return
        m.n3, m.f3, m.n7, m.f7 = m.n3 + 1, m.f3 + 1, m.n7 + 1, m.f7 + 1
        if newest:
            if m.last == 2:
                self.pn += 1
                self.pf += 1
            if m.f0 == LONG_AGO or (1 - self.pf / self.pn) ** m.grun < 0.01:
                m.f0, m.run = t0, 0
            m.grun, m.last, m.last_t = 0, 2, t0
        elif m.f0 > t0 > m.g0:
            m.f0 = t0
        m.run += 1
