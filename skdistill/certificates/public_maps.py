"""Transformers that learned nothing from the rows they were fitted on."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import is_exactly

_HASHERS = (
    "sklearn.feature_extraction.FeatureHasher",
    "sklearn.feature_extraction.text.HashingVectorizer",
)

# Classes whose fitted state is a function of their parameters and of the names and number of
# columns, and whose output for a row is a function of that row alone. The list is exact: a
# subclass, or a class that only declares by scikit-learn's tag that it needs no fit, may keep the
# rows that it has seen. Not in the list although they need no fit: PatchExtractor (several output
# rows per row, drawn at random) and SparseCoder (its result for a row was not proved to be
# independent of the other rows).
_LEARN_NOTHING = frozenset(
    {
        "sklearn.preprocessing.Normalizer",
        "sklearn.preprocessing.Binarizer",
        "sklearn.preprocessing.PolynomialFeatures",  # fit counts columns
        "sklearn.preprocessing.FunctionTransformer",
        "sklearn.kernel_approximation.AdditiveChi2Sampler",
        *_HASHERS,
        "skdistill.transfer.encoding.SchemaRows",
    }
)
# Parameters of these classes that hold a user's function, or numbers made of rows.
_FUNCTIONS = ("func", "preprocessor", "tokenizer", "analyzer")
_TABLES = ("shares",)


def is_public_map(step: Any) -> bool:
    """Whether a transformer learned nothing from the rows that it was fitted on.

    True for ``"passthrough"``, ``"drop"``, None, FrozenEstimators, exactly the classes of
    scikit-learn and of this package that are known to learn nothing (no subclass), and Pipelines,
    FeatureUnions and ColumnTransformers of those alone, if a ColumnTransformer's columns are
    names, numbers, slices or masks and not a function, which would look at the rows. A step of the
    user's own that learns nothing passes as ``FrozenEstimator(step)``.
    """
    return public_map_assumptions(step, "") is not None


def public_map_assumptions(step: Any, name: str) -> tuple[str, ...] | None:
    """Return the assumptions under which a step is public; None for a step that learned."""
    if step is None or (isinstance(step, str) and step in ("passthrough", "drop")):
        return ()
    if type(step) is FrozenEstimator:
        return (
            f"the frozen step {name!r} was fitted without the private data, works row by row and "
            "keeps nothing of its rows",
        )
    parts = _parts(step)
    if parts is not None:
        found = [public_map_assumptions(part, f"{name}.{inner}") for inner, part in parts]
        if any(each is None for each in found):
            return None
        return tuple(text for each in found if each is not None for text in each)
    if not any(is_exactly(step, path) for path in _LEARN_NOTHING):
        return None
    assumes = []
    if any(callable(getattr(step, each, None)) for each in _FUNCTIONS if each in vars(step)):
        assumes.append(
            f"the function in the step {name!r} works row by row and keeps nothing of the rows"
        )
    if any(getattr(step, each, None) is not None for each in _TABLES):
        assumes.append(f"the shares in the step {name!r} are those of rows that may be seen")
    return tuple(assumes)


def _parts(step: Any) -> list[tuple[str, Any]] | None:
    """Return the named parts of a composition; None for anything else.

    A ColumnTransformer with a part that learns by itself (a selector, or a choice between sparse
    and dense that depends on how many zeros the private rows have) gets a part that is not a map.
    """
    learns = ("columns", _LEARNS)
    if is_exactly(step, "sklearn.pipeline.Pipeline"):
        return [(name, part) for name, part in step.steps]
    if is_exactly(step, "sklearn.pipeline.FeatureUnion"):
        return [(name, part) for name, part in step.transformer_list]
    if not is_exactly(step, "sklearn.compose.ColumnTransformer"):
        return None
    parts = [(name, part) for name, part, _ in step.transformers]
    if not all(_is_public_selection(columns) for _, _, columns in step.transformers):
        parts.append(learns)
    if step.sparse_threshold != 0 and any(_may_be_sparse(part) for _, part in parts):
        parts.append(learns)
    return [*parts, ("remainder", step.remainder)]


_LEARNS = object()


def _may_be_sparse(part: Any) -> bool:
    """Whether a part makes sparse rows of dense ones, by itself or within a composition."""
    return any(is_exactly(part, path) for path in _HASHERS) or any(
        _may_be_sparse(inner) for _, inner in _parts(part) or ()
    )


def _is_public_selection(columns: Any) -> bool:
    """Whether columns are given by names, numbers, slices or a mask."""
    if isinstance(columns, (str, Integral, slice, bool)):
        return True
    if callable(columns):
        return False
    try:
        return all(isinstance(each, (str, Integral, bool, np.bool_)) for each in columns)
    except TypeError:
        return False
