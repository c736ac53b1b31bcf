"""How `contract.Settings` travel to a process: one environment variable a field, named in one place.

`to_environment` and `from_environment` are inverse to each other; a variable that is not set means the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from dagstorm_local.contract import Settings

PREFIX = "STACK_"


def to_environment(settings: Settings) -> dict[str, str]:
    """Every setting as `STACK_<FIELD>`; booleans are `1` and `0`."""
    return {PREFIX + field.name.upper(): _encode(getattr(settings, field.name)) for field in fields(Settings)}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings found in `environment`. Raises ValueError naming the variable that cannot be read."""
    values: dict[str, bool | int | float] = {}
    for field in fields(Settings):
        name = PREFIX + field.name.upper()
        text = environment.get(name, "")
        if text:
            values[field.name] = _decode(name, text, type(field.default))
    return Settings(**values)  # type: ignore[arg-type]


def _encode(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _decode(name: str, text: str, kind: type) -> bool | int | float:
    if kind is bool:
        if text not in ("0", "1"):
            raise ValueError(f"{name} must be 0 or 1, not {text!r}")
        return text == "1"
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None
