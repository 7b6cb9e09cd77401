"""Checking the settings of PATE, which are public."""

from __future__ import annotations

from numbers import Integral
from typing import Any

__all__ = ["check_count", "is_transformer", "type_name"]


def type_name(value: Any) -> str:
    """Name a class, or an object by its class; never its content."""
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"


def is_transformer(encoder: Any) -> bool:
    """Whether `encoder` is a transformer (an instance) or None."""
    return encoder is None or (hasattr(encoder, "transform") and not isinstance(encoder, type))


def check_count(name: str, value: Any, others: str) -> None:
    """Raise where `value` is no whole number of at least 1, nor "auto" where `others` says so."""
    if others and isinstance(value, str) and value == "auto":
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r} must be a whole number of at least 1{others}.")
