"""Checking the settings of PATE, which are public."""

from __future__ import annotations

from typing import Any

__all__ = ["is_transformer", "type_name"]


def type_name(value: Any) -> str:
    """Name a class, or an object by its class; never its content."""
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"


def is_transformer(encoder: Any) -> bool:
    """Whether `encoder` is a transformer (an instance) or None."""
    return encoder is None or (hasattr(encoder, "transform") and not isinstance(encoder, type))
