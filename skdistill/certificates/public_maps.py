"""Transformers that learned nothing from the rows they were fitted on, and Pipelines of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import Certificate, has_own_methods, is_exactly, unwrap
from skdistill.statement import PrivacyStatement

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
_AS_FITTED = (
    "the steps of the pipeline, with their settings and those inside of them, are the ones that "
    "it was fitted with"
)


def is_public_map(step: Any) -> bool:
    """Whether a transformer learned nothing from the rows that it was fitted on.

    True for ``"passthrough"``, ``"drop"``, None, FrozenEstimators, exactly the classes of
    scikit-learn and of this package that are known to learn nothing (no subclass), and Pipelines,
    FeatureUnions and ColumnTransformers of those alone, if a ColumnTransformer's columns are
    names, numbers, slices or masks and not a function, which would look at the rows.
    """
    return public_map_assumptions(step, "") is not None


def public_map_assumptions(step: Any, name: str) -> tuple[str, ...] | None:
    """Return the assumptions under which a step is public; None for a step that learned."""
    if step is None or (isinstance(step, str) and step in ("passthrough", "drop")):
        return ()
    if has_own_methods(step):
        return None
    schemas = schemas_in(step)
    if not all(schema.is_private for schema in schemas):
        return None  # bounds were read off private rows without noise
    if type(step) is FrozenEstimator:
        learned = [schema.origin for schema in schemas if schema.privacy is not None]
        but = " (but for the bounds in its schema)" if learned else ""
        text = f"the frozen step {name!r} was fitted without the private data{but}, works row by "
        return tuple(dict.fromkeys((f"{text}row and keeps nothing of its rows", *learned)))
    parts = _parts(step)
    if parts is not None:
        found = [public_map_assumptions(part, f"{name}.{inner}") for inner, part in parts]
        if any(each is None for each in found):
            return None
        return tuple(dict.fromkeys(text for each in found if each is not None for text in each))
    if not any(is_exactly(step, path) for path in _LEARN_NOTHING):
        return None
    assumes = [schema.origin for schema in schemas]
    if any(callable(getattr(step, each, None)) for each in _FUNCTIONS if each in vars(step)):
        assumes.append(
            f"the function in the step {name!r} works row by row and keeps nothing of the rows"
        )
    if any(getattr(step, each, None) is not None for each in _TABLES):
        assumes.append(f"the shares in the step {name!r} are those of rows that may be seen")
    return tuple(assumes)


def schemas_in(part: Any) -> list[Any]:
    """Return the schemas that an estimator holds, among its settings and results at any depth."""
    found, seen, waiting = [], {}, [part]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each  # held, so that no other object gets its id
        if is_exactly(each, "skdistill.schema.Schema"):
            found.append(each)
        elif isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif hasattr(each, "get_params") and not isinstance(each, type):
            waiting.extend(getattr(each, "__dict__", {}).values())
    return found


def with_schemas_of(student: Any, statement: PrivacyStatement) -> PrivacyStatement:
    """Return the statement with the conditions on the schemas that the student's features have."""
    schemas = schemas_in(student)
    assumes = dict.fromkeys((*statement.assumes, *(schema.origin for schema in schemas)))
    private = statement.private and all(schema.is_private for schema in schemas)
    return replace(statement, assumes=tuple(assumes), private=private)


def _parts(step: Any) -> list[tuple[str, Any]] | None:
    """Return the named parts of a composition; None for anything else.

    A ColumnTransformer with a part that learns by itself (a selector, or a choice between sparse
    and dense that depends on how many zeros the private rows have) gets a part that is not a map.
    Rows without names of columns may have been sparse: the fitted object does not tell.
    A fitted one transforms by its ``transformers_``, whatever its parameters say by now, so these
    are parts as well.
    """
    learns = ("columns", object())  # no map
    if is_exactly(step, "sklearn.pipeline.Pipeline"):
        return list(step.steps)
    if is_exactly(step, "sklearn.pipeline.FeatureUnion"):
        return list(step.transformer_list)
    if not is_exactly(step, "sklearn.compose.ColumnTransformer"):
        return None
    fitted = getattr(step, "transformers_", [])
    parts = [(name, part) for name, part, _ in (*step.transformers, *fitted)]
    if not all(_is_public_selection(columns) for _, _, columns in step.transformers):
        parts.append(learns)
    nameless = bool(fitted) and not hasattr(step, "feature_names_in_")
    if step.sparse_threshold != 0 and (nameless or any(_may_be_sparse(part) for _, part in parts)):
        parts.append(learns)
    return [*parts, ("remainder", step.remainder)]


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


def pipeline(teacher: Any, X: Any, prove: Callable[[Any, Any], Any]) -> Certificate | None:
    """Certify a Pipeline by its last step, if no earlier step learned from the private rows.

    Proof. If the earlier steps T learned nothing from the private rows, replacing record (x, y)
    replaces the last step's record (T(x), y) and nothing else, because T works row by row, and
    the last step's bound holds on T(X). A scaler or encoder that was fitted on the private rows
    moves as well; then no proof is claimed and the worst case is used. A step that was replaced
    after the fit leaves no trace; that there is none is an assumption.
    """
    *steps, (_, last) = teacher.steps
    earlier = [(name, step) for name, step in steps if step not in (None, "passthrough")]
    assumes = [_AS_FITTED] if steps else []
    for name, step in earlier:
        needed = public_map_assumptions(step, name)
        if needed is None:
            return None
        assumes += needed
    found: Certificate | None = prove(unwrap(last), None if earlier else X)
    if found is None:
        return None
    found = replace(found, assumes=tuple(dict.fromkeys((*found.assumes, *assumes))))
    if not earlier:
        return found
    transformer = teacher[:-1]
    if found.transformer is not None:  # a pipeline in a pipeline
        transformer = type(teacher)([("outer", transformer), ("inner", found.transformer)])
    return replace(found, transformer=transformer)
