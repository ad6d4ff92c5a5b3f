"""``.env.example`` as the settings say it; ``make schemas`` writes what this module prints."""

import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from fraudstream import __version__
from fraudstream.durations import format_duration
from fraudstream.settings import Settings

_HEAD = f"""\
# Copy to .env and change what should differ: `docker compose` hands these to its containers, and a shell does
# with `set -a; . ./.env; set +a`. Every line shows its default. A secret may be named as a file instead:
# NAME_FILE=path.
#
# For compose.yaml alone:
# Password of the application's MariaDB user; it is set when the volume is first made.
# MARIADB_PASSWORD=fraudstream
# Version of the project's image.
# IMAGE_TAG={__version__}
#
# Settings of the product; compose.yaml sets the addresses of its own services, the image folder and ports.
"""


def example_environment() -> str:
    """Return the file's text: every setting with its meaning and its default, commented out."""
    return _HEAD + "".join(f"# {line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield from textwrap.wrap(field.description or "", 110)
        yield f"FRAUDSTREAM_{name.upper()}={_as_text(field.default)}"


def _as_text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(example_environment(), end="")
