"""Counts of open windows, a source partition."""

from functools import partial

from fraudstream.app import AgentApp
from fraudstream.core.windows import WindowCounts
from fraudstream.delivery.table import SliceTable


def window_counts(app: AgentApp) -> SliceTable[WindowCounts]:
    """Declare the table ``window-counts`` of an app.

    The state of a partition is its :class:`~fraudstream.core.windows.WindowCounts`, which knows its own
    changelog entries.
    """
    settings = app.context.settings
    return app.table(
        "window-counts",
        new=partial(
            WindowCounts,
            size_seconds=settings.window_size_seconds,
            grace_seconds=settings.window_grace_seconds,
        ),
        restore=WindowCounts.restore,
        view=WindowCounts.view,
    )
