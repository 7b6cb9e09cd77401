"""Reading private containers: shapes and dtypes are public, cells are never looked into here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning

from skdistill._checks import n_rows

__all__ = ["cells_of", "check_label_types", "check_lengths", "check_table", "withheld"]


def check_table(X: Any) -> Any:
    """Return a table, or raise for one without rows or columns: shapes and dtypes are public."""
    if not hasattr(X, "shape") and not hasattr(X, "__len__"):
        X = np.asarray(X)
    shape = X.shape if hasattr(X, "shape") else (len(X),)
    if len(shape) == 1 and isinstance(X, np.ndarray):
        raise ValueError(
            "Expected 2D array, got 1D array instead. Reshape your data: X.reshape(-1, 1) if it "
            "has one feature, X.reshape(1, -1) if it is one row."
        )
    for size, what in zip(shape, ("sample", "feature"), strict=False):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required."
            )
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError("Complex data not supported: X has a complex dtype.")
    return X


def cells_of(y: Any) -> list[Any]:
    """Return the labels one by one; what one of them is changes nothing about the others."""
    if isinstance(y, (list, tuple)):
        return list(y)
    if hasattr(y, "to_list"):  # a series
        return list(y.to_list())
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape "
            "of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {values.shape} instead.")
    return list(values.tolist())


def check_lengths(X: Any, **others: Any) -> None:
    """Raise where something has another length than X: lengths are public."""
    for name, given in others.items():
        if given is not None and len(given) != n_rows(X):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {n_rows(X)}, "
                f"{name} has {len(given)}."
            )


def check_label_types(y: Any, classes: NDArray[Any]) -> None:
    """Raise for an array of text where classes are numbers, or the reverse: dtypes are public."""
    dtype = getattr(y, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind == "O":
        return
    if (dtype.kind in "US") != (classes.dtype.kind in "US"):
        raise ValueError(
            f"y is of dtype {dtype} and the classes {classes.tolist()[:5]} are of dtype "
            f"{classes.dtype}: no label would be known. Give both as text or both as numbers."
        )


def withheld(call: Callable[[], Any]) -> Any:
    """Call a user's transformer on private rows; let nothing out but what it returns."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except Exception:
        pass
    raise ValueError(
        "A step before the teachers raised on the private rows; its message is withheld because it "
        "may quote them. Try it on rows you may see, such as model.sample(100)."
    )
