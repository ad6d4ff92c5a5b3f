"""Something an agent does by the clock, beside its slices."""

from collections.abc import Callable
from typing import Any

import mode


class Ticking(mode.Service):
    """Calls something again and again, with a pause between; it must not await and must not fail."""

    def __init__(self, seconds: float, tick: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._seconds = seconds
        self._tick = tick

    @mode.Service.task
    async def _keep_ticking(self) -> None:
        while not self.should_stop:
            await self.sleep(self._seconds)
            self._tick()
