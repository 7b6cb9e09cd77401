"""From one model of any kind to a certified teacher of its kind: the way out of the worst case."""

from __future__ import annotations

from inspect import signature
from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from skdistill._trained_on import remember
from skdistill.certificates.base import is_exactly, unwrap
from skdistill.certificates.public_maps import is_public_map
from skdistill.certificates.registry import has_family, prove
from skdistill.neural import fresh
from skdistill.teachers.ensemble import TeacherEnsemble


def refit(
    teacher: Any,
    X_private: Any,
    y_private: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_teachers: int | str = "auto",
    classes: ArrayLike | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Any:
    """Fit clones of a model on disjoint shards of the private data: a teacher with a certificate.

    One fitted model of any kind has no bound but the worst case, so at a small ε its labels are
    mostly noise. If models of its kind are trained on shards, one record reaches one of k members.

    Parameters
    ----------
    teacher : estimator
        A classifier, a regressor, or a Pipeline that ends in one, of which only the settings are
        used. It is not changed.
    X_private : array-like, sparse matrix or data frame of shape (n, d)
        Private rows, as the teacher takes them.
    y_private : array-like of shape (n,)
        Private labels or targets.
    groups : array-like of shape (n,), default=None
        Label of the group (a person, say) of each row, which is then the unit of privacy.
    n_teachers : int or "auto", default="auto"
        Number of shards. With a number, a teacher with a proof of its own becomes an ensemble, too.
    classes : array-like of shape (n_classes,), default=None
        All labels that may occur; public. See :class:`~skdistill.TeacherEnsemble`.
    n_jobs : int, default=None
        Jobs of joblib that train members.
    random_state : int, RandomState or None, default=None
        Public: draws the shards.

    Returns
    -------
    teacher : TeacherEnsemble, Pipeline or estimator
        Fitted, for :class:`~skdistill.PrivateDistiller`. A teacher with a proof of its own (Newton
        teachers, k nearest neighbours with uniform weights, an ensemble) is fitted anew as it is.
        First steps of a Pipeline that are exactly public or frozen stay in front of the ensemble;
        all other steps are trained in each shard.

    Raises
    ------
    TypeError
        For an object that is neither a classifier nor a regressor.
    ValueError
        For a teacher that is private already, and as of the ``fit`` of the teacher.

    Notes
    -----
    Settings that were chosen by private data (by a search, say) are a release of their own that no
    statement counts. A search that is handed over whole searches in each shard.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skdistill import refit
    >>> from skdistill.certificates import certify
    >>> X, y = make_classification(1000, random_state=0)
    >>> forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    >>> certify(forest).name
    'worst case'
    >>> teacher = refit(forest, X, y, classes=[0, 1], random_state=0)
    >>> print(certify(teacher).name, teacher.n_teachers_)
    disjoint teachers 12
    """
    teacher = unwrap(teacher)
    name = teacher.__name__ if isinstance(teacher, type) else type(teacher).__name__
    if isinstance(teacher, type) or not (is_classifier(teacher) or is_regressor(teacher)):
        raise TypeError(f"refit needs a classifier or a regressor, and {name} is neither.")
    if hasattr(teacher, "privacy_"):
        raise ValueError(
            f"{name} is private already: pass it to PrivateDistiller as it is. Labels of it cost "
            "nothing more."
        )
    front, model = _split(teacher)
    if front is not None and not is_public_map(front.fit(X_private)):
        front, model = None, teacher  # by its fitted state, a ColumnTransformer may have learned
    if front is not None:
        rows = front.transform(X_private)
        settings = {"classes": classes, "n_jobs": n_jobs, "random_state": random_state}
        inner = refit(model, rows, y_private, groups, n_teachers=n_teachers, **settings)
        found = Pipeline([*front.steps, ("teacher", inner)])
        remember(found, X_private)
        return found
    if n_teachers == "auto":
        fitted = _as_it_is(model, X_private, y_private, groups, classes)
        if fitted is not None:
            return fitted
    if isinstance(model, TeacherEnsemble):
        model = model.estimator
    ensemble = TeacherEnsemble(
        fresh(model), n_teachers, classes=classes, n_jobs=n_jobs, random_state=random_state
    )
    return ensemble.fit(X_private, y_private, groups)


def _split(teacher: Any) -> tuple[Pipeline | None, Any]:
    """Split a pipeline into a copy of its first public steps (None for none) and all others."""
    if not is_exactly(teacher, "sklearn.pipeline.Pipeline"):
        return None, teacher
    n = 0
    while n < len(teacher.steps) - 1 and is_public_map(teacher.steps[n][1]):
        n += 1
    first = teacher.steps[:n]
    steps = [(name, fresh(step)) for name, step in first if not isinstance(step, str | None)]
    rest = teacher[n:] if n < len(teacher.steps) - 1 else teacher.steps[-1][1]
    return Pipeline(steps) if steps else None, unwrap(rest)


def _as_it_is(model: Any, X: Any, y: Any, groups: Any, classes: Any) -> Any:
    """Return a fitted clone of a model that has a proof of its own, None where it has none."""
    if not has_family(model) or hasattr(model, "steps"):  # one of the steps has learned
        return None
    takes_groups = "groups" in signature(model.fit).parameters
    if groups is not None and not takes_groups:
        return None
    twin = fresh(model)
    if classes is not None and "classes" in twin.get_params(deep=False):
        twin.set_params(classes=classes)
    fitted = twin.fit(X, y, groups=groups) if takes_groups else twin.fit(X, y)
    proved = isinstance(fitted, TeacherEnsemble) or prove(fitted) is not None
    return fitted if proved else None
