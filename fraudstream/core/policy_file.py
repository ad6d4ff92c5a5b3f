"""A policy as people write it: TOML, or JSON."""

import tomllib
from pathlib import Path

import msgspec

from fraudstream.core.policy import Policy
from fraudstream.errors import InvalidInput


def load_policy(path: Path) -> Policy:
    """Read a policy: fields as in :class:`~fraudstream.core.policy.Policy`, lists and rules as tables.

    Raises
    ------
    InvalidInput
        The file cannot be read, is no TOML (or JSON, by its name), names an unknown field, or contradicts
        itself.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fault = f"{path}: cannot be read: {error}"
        raise InvalidInput(fault) from error
    try:
        return parse_policy(text, is_json=path.suffix == ".json")
    except InvalidInput as error:
        fault = f"{path}: {error}"
        raise InvalidInput(fault) from error


def parse_policy(text: str, *, is_json: bool = False) -> Policy:
    """Read a policy from text: see :func:`load_policy`.

    Examples
    --------
    >>> policy = parse_policy('''
    ... budget = 100
    ... [[lists]]
    ... name = "stolen"
    ... field = "card_id"
    ... decision = "decline"
    ... values = ["c-17", "c-99"]
    ... ''')
    >>> policy.budget, policy.lists[0].name
    (100.0, 'stolen')
    """
    try:
        fields = msgspec.json.decode(text) if is_json else tomllib.loads(text)
        if not isinstance(fields, dict):
            fault = f"expected names with values, got {type(fields).__name__}"
            raise InvalidInput(fault)
        if unknown := sorted(fields.keys() - set(Policy.__struct_fields__)):
            fault = f"unknown {', '.join(unknown)}: expected {', '.join(Policy.__struct_fields__)}"
            raise InvalidInput(fault)
        return msgspec.convert(fields, Policy)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise InvalidInput(str(error)) from error
