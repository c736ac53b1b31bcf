"""Putting our functions in the place of ministack's private ones, loudly if there is no such place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

TABLES = ("_ACTION_MAP", "_HANDLERS")  # how ministack's modules name them


class MissingHook(AttributeError):
    """ministack no longer has the private function we replace: read its source and adapt."""


def replace(module: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace `module.name` by `make(original)`, and in the module's tables of actions where it stands there too."""
    original = getattr(module, name, None)
    if not callable(original):
        raise MissingHook(f"{module.__name__}.{name}")
    made = make(original)
    setattr(module, name, made)
    for table in (getattr(module, name, {}) for name in TABLES):
        for action, handler in list(table.items()):
            if handler is original:
                table[action] = made


def replace_action(module: Any, action: str, made: Callable[..., Any]) -> None:
    """Replace or add the handler of one API action."""
    module._ACTION_MAP[action] = made


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters: what the contract tests compare."""
    return list(inspect.signature(function).parameters)
