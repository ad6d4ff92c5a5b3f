"""When each event of a world is sent: event time, sped up."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from fraudstream.errors import InvalidInput
from fraudstream.simulation.events import Event, moment


class Pace:
    """Hands out a world's events as its clock passes them. Pure: the caller tells how much time has gone by.

    Parameters
    ----------
    events
        By time, as :meth:`World.events` yields them; may end.
    starts
        What the world's clock shows at first, aware.
    speedup
        Seconds of event time in one second (above 0).
    most
        How many events one call hands out at most: after a stall the backlog is sent in pieces.

    Examples
    --------
    >>> from fraudstream.simulation.presets import demo_world
    >>> from fraudstream.simulation.world import World
    >>> world = World(demo_world(rate=100))
    >>> pace = Pace(world.events(), world.config.start, speedup=1800)
    >>> len(pace.advance(0.0)), 50 < len(pace.advance(1.0)) < 150
    (0, True)
    """

    def __init__(self, events: Iterator[Event], starts: datetime, speedup: float, most: int = 5_000) -> None:
        if speedup <= 0:
            msg = f"the speed-up must be above 0, got {speedup:g}"
            raise InvalidInput(msg)
        self._events = events
        self._speedup = speedup
        self._most = most
        self._next = next(events, None)
        self.clock = starts

    @property
    def ended(self) -> bool:
        """Whether every event has been handed out."""
        return self._next is None

    def advance(self, seconds: float) -> list[Event]:
        """Let so many seconds pass and return the events of that time, in order.

        When there are more than ``most``, the clock stops at the last one returned: nothing is skipped, the
        world is late.
        """
        until = self.clock + timedelta(seconds=seconds * self._speedup)
        due: list[Event] = []
        while self._next is not None and moment(self._next) <= until:
            if len(due) == self._most:
                self.clock = moment(due[-1])
                return due
            due.append(self._next)
            self._next = next(self._events, None)
        self.clock = until
        return due
