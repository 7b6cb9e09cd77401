"""Checking and showing the settings of PATE, which are public."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["is_transformer", "settings_shown", "type_name"]


def settings_shown(model: Any) -> list[str]:
    """Return the settings that are not at their defaults."""
    shown = []
    for name, parameter in inspect.signature(type(model).__init__).parameters.items():
        value = getattr(model, name, parameter.default)
        if name == "self" or repr(value) == repr(parameter.default):
            continue
        shown.append(f"{name}={type_name(value) if name == 'accountant' else repr(value)}")
    return shown


def type_name(value: Any) -> str:
    """Name a class, or an object by its class; never its content."""
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"


def is_transformer(encoder: Any) -> bool:
    """Whether `encoder` is a transformer (an instance) or None."""
    return encoder is None or (hasattr(encoder, "transform") and not isinstance(encoder, type))
