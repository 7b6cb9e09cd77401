"""Membership attacks on models: how well training records can be told from other records.

**Who may see the results.** Elsewhere in this package only :mod:`skdistill.release` asks a teacher
for predictions. An audit measures how much a teacher leaks *without* noise, so the caller hands
over every model and the records it was trained on, on the caller's own machine. The distiller never
calls this module. Scores, reports and figures are computed from private records: they are **not for
publication**, and no ledger is charged, because nothing leaves. Error messages hold numbers of rows
and fixed text only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor
from sklearn.utils import check_random_state

from skdistill._tables import as_numbers, n_rows, take_rows
from skdistill.accounting.relation import as_replace_one
from skdistill.audit import attacks as on_arrays
from skdistill.audit import report
from skdistill.audit.records import ask, class_codes, class_probabilities, row_keys, stack_rows
from skdistill.audit.shadow import ShadowModels, train_shadow_models
from skdistill.certificates.base import unwrap
from skdistill.publishing import Published

Array = NDArray[np.float64]
Records = tuple[Any, NDArray[Any]]

_WITHOUT_SHADOWS = ("loss", "modified_entropy", "classwise", "quantile")
_WITH_SHADOWS = ("rmia", "lira_offline", "lira_online")
#: The attacks, from the cheapest to the strongest.
ATTACKS = (*_WITHOUT_SHADOWS, *_WITH_SHADOWS)
_WITH_REFERENCE = {"classwise", "quantile", "rmia"}


def membership_report(
    model: Any,
    X_member: Any,
    y_member: ArrayLike,
    X_nonmember: Any,
    y_nonmember: ArrayLike,
    *,
    attacks: str | Sequence[str] = "auto",
    shadow: Any = None,
    n_shadows: int = 64,
    X_reference: Any = None,
    y_reference: ArrayLike | None = None,
    fprs: Sequence[float] = (0.01, 0.001),
    confidence: float = 0.95,
    overlap: str = "raise",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> report.MembershipReport:
    """Attack one or several models and report how well members can be told from others.

    The report is for the auditor; it is **not for publication**. No ledger is charged.

    Parameters
    ----------
    model : estimator, PrivateDistiller, Published or dict of str to such
        Fitted. A fitted PrivateDistiller is two models: its "teacher" and itself, the "student".
    X_member, y_member : array-like of shape (n, d) and (n,)
        Records the model (the teacher) was trained on.
    X_nonmember, y_nonmember : array-like of shape (m, d) and (m,)
        Other records of the same kind.
    attacks : "auto" or sequence of str, default="auto"
        Names from "loss", "modified_entropy", "classwise", "quantile", "rmia", "lira_offline" and
        "lira_online". "auto" takes all that are possible: the last three if `shadow` is given, and
        the loss alone for regression models.
    shadow : None, "clone", estimator or dict of str to estimator, default=None
        Kind of the shadow models. "clone" takes each model's own kind, and for a student that of
        its teacher; stronger against a student is ``{"teacher": kind_of_teacher, "student":
        ShadowDistiller(distiller, X_transfer)}``. None trains none.
    n_shadows : int, default=64
        Shadow models of each kind, each trained on a random half of all records given.
    X_reference, y_reference : array-like of shape (r, d) and (r,), default=None
        Further records that are not members, for attacks that compare with such. None sets half of
        the non-members aside if such an attack is asked for.
    fprs : sequence of float, default=(0.01, 0.001)
        False-positive rates at which the true-positive rate is wanted.
    confidence : float, default=0.95
        Of every interval by itself.
    overlap : {"raise", "drop"}, default="raise"
        For records (with equal labels) that are members and non-members. "drop" leaves out all
        copies of them, on both sides and among the reference records.
    random_state : int, RandomState or None, default=None
        Draws reference records, shadow halves and the halves for the accuracy's threshold.
    n_jobs, verbose : int
        For :func:`train_shadow_models`.

    Returns
    -------
    report : MembershipReport
        One row for each model and attack. Not for publication.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.audit import membership_report
    >>> X, y = make_classification(800, flip_y=0.2, random_state=0)
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:400], y[:400])
    >>> report = membership_report(model, X[:400], y[:400], X[400:], y[400:],
    ...                            attacks=["loss"], fprs=[0.01], random_state=0)
    >>> report.rows[0].auc[0] > 0.6
    True
    """
    rng, models = check_random_state(random_state), _by_name(model)
    claims = {name: _claim(each) for name, each in models.items()}
    models = {name: _estimator(each) for name, each in models.items()}
    regressors = {bool(is_regressor(each)) for each in models.values()}
    if len(regressors) > 1:
        raise ValueError("Regressors and classifiers cannot be attacked in one report.")
    wanted = _check_attacks(attacks, shadow, *regressors)
    parts = [_records("members", X_member, y_member)]
    parts.append(_records("nonmembers", X_nonmember, y_nonmember))
    if X_reference is not None:
        parts.append(_records("reference", X_reference, y_reference))
    parts = _without_overlap(parts, overlap)
    if X_reference is None and _WITH_REFERENCE & set(wanted):
        parts[1:] = _set_aside(parts[1], rng, fprs)
    n, m = len(parts[0][1]), len(parts[1][1])
    report.check_sizes(n, m)
    report.check_fprs(fprs, m)
    X, y = _pooled(parts)
    for name, each in models.items():
        _check_model(name, each, y)
    kinds = _shadow_kinds(shadow, models) if set(_WITH_SHADOWS) & set(wanted) else {}
    options: dict[str, Any] = {"n_shadows": n_shadows, "n_jobs": n_jobs, "verbose": verbose}
    trained: dict[int, ShadowModels] = {}
    rows, scores = [], {}
    for name, each in models.items():
        kind = kinds.get(name)
        if kind is not None and id(kind) not in trained:
            trained[id(kind)] = train_shadow_models(kind, X, y, random_state=rng, **options)
        found = _scores(each, X, y, n + m, wanted, trained.get(id(kind)))
        for method, values in found.items():
            pair = scores[name, method] = values[:n], values[n:]
            row = report.AttackResult(
                model=name,
                attack=method,
                epsilon=claims[name][0],
                delta=claims[name][1],
                auc=report.auc_interval(*pair, confidence),
                accuracy=report.balanced_accuracy_interval(*pair, confidence, rng),
                tpr=tuple((float(f), *report.tpr_at_fpr(*pair, f, confidence)) for f in fprs),
            )
            rows.append(row)
    return report.MembershipReport(
        rows=tuple(rows), n_members=n, n_nonmembers=m, confidence=confidence, scores=scores
    )


def attack(
    model: Any,
    X: Any,
    y: ArrayLike,
    X_reference: Any = None,
    y_reference: ArrayLike | None = None,
    *,
    method: str = "loss",
    shadow: Any = "clone",
    n_shadows: int = 64,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Array:
    """Score records of unknown membership.

    Parameters
    ----------
    model : estimator or Published
        Fitted, with `predict_proba`; or a regressor, for ``method="loss"``.
    X, y : array-like of shape (n, d) and (n,)
        Records to score.
    X_reference, y_reference : array-like of shape (r, d) and (r,), default=None
        Records of the same kind that are not members. Needed for all methods but "loss" and
        "modified_entropy".
    method : str, default="loss"
        One of the attacks of :func:`membership_report`. "rmia" and "lira_offline" train shadow
        models on reference records only; "lira_online" also trains them on the scored records.
    shadow : "clone" or estimator, default="clone"
        Kind of the shadow models; "clone" takes the model's own kind.
    n_shadows, random_state, n_jobs, verbose : int, default=64, None, None, 0
        For :func:`train_shadow_models`.

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.audit import attack
    >>> X, y = make_classification(400, flip_y=0.2, random_state=0)
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:200], y[:200])
    >>> scores = attack(model, X, y)
    >>> bool(scores[:200].mean() > scores[200:].mean())
    True
    """
    model = _estimator(model)
    _check_attacks([method], shadow, is_regressor(model))
    if X_reference is None and method in {*_WITH_SHADOWS, *_WITH_REFERENCE}:
        raise ValueError(f"method={method!r} needs reference records: X_reference and y_reference.")
    parts = [_records("records", X, y)]
    if X_reference is not None:
        parts.append(_records("reference", X_reference, y_reference))
    n, shadows = n_rows(X), None
    X, y = _pooled(parts)
    _check_model("model", model, y)
    if method in _WITH_SHADOWS:
        shadows = train_shadow_models(
            model if isinstance(shadow, str) else shadow,
            *(X, y),
            n_shadows=n_shadows,
            trainable=None if method == "lira_online" else np.arange(len(y)) >= n,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
    return _scores(model, X, y, n, [method], shadows)[method]


def _scores(
    model: Any, X: Any, y: NDArray[Any], n: int, attacks: list[str], shadows: Any
) -> dict[str, Array]:
    """Return each attack's scores of the first n records; the others are reference records."""
    if is_regressor(model):
        predictions = ask(model.predict, "The model's predict", X)
        return {"loss": on_arrays.squared_error_attack(predictions, y)[:n]}
    classes = np.asarray(model.classes_)
    p, codes = class_probabilities(model, X, classes), class_codes(y, classes)
    confidences = on_arrays.log_odds(p, codes)
    ours, others = slice(0, n), slice(n, None)
    own, known = (p[ours], codes[ours]), (p[others], codes[others])

    def quantile() -> Array:
        if hasattr(X, "tocsr"):
            raise ValueError(
                "The quantile attack needs a dense X: leave it out, or pass X.toarray()."
            )
        features = np.column_stack([as_numbers(X), np.eye(len(classes))[codes]])
        mine, theirs = ((confidences[rows], features[rows]) for rows in (ours, others))
        return on_arrays.quantile_attack(*mine, *theirs)

    def lira(online: bool) -> Array:
        shadow, member = shadows.confidences[:, ours], shadows.member[:, ours]
        return on_arrays.lira_attack(confidences[ours], shadow, member, online=online)

    def rmia() -> Array:
        pairs = [(confidences[rows], shadows.confidences[:, rows]) for rows in (ours, others)]
        members = shadows.member[:, ours], shadows.member[:, others]
        return on_arrays.rmia_attack(*pairs[0], *pairs[1], *members)

    methods: dict[str, Callable[[], Array]] = {
        "loss": lambda: on_arrays.loss_attack(*own),
        "modified_entropy": lambda: on_arrays.modified_entropy_attack(*own),
        "classwise": lambda: on_arrays.classwise_attack(*own, *known),
        "quantile": quantile,
        "rmia": rmia,
        "lira_offline": lambda: lira(online=False),
        "lira_online": lambda: lira(online=True),
    }
    return {name: methods[name]() for name in attacks}


def _by_name(model: Any) -> dict[str, Any]:
    """Return the models to attack by name; a fitted distiller is its teacher and itself."""
    if isinstance(model, Mapping):
        if not model:
            raise ValueError("model={} holds no model to attack.")
        return {str(name): unwrap(each) for name, each in model.items()}
    if _is_distilled(model):
        return {"teacher": unwrap(model.teacher), "student": model}
    return {"model": unwrap(model)}


def _estimator(model: Any) -> Any:
    """Return the estimator to attack, which a Published holds beside its statement."""
    return model.estimator if isinstance(model, Published) else model


def _claim(model: Any) -> tuple[float, float]:
    """Return ε and δ of a model's statement under replace-one; ∞ and 0 without one.

    The relation is replace-one, because a member and a non-member change places.
    """
    said = model.statement if isinstance(model, Published) else getattr(model, "privacy_", None)
    if said is None or not said.private:
        return math.inf, 0.0
    return as_replace_one(float(said.epsilon), float(said.delta), said.relation)


def _is_distilled(model: Any) -> bool:
    """Whether a model is a fitted distiller; the `teacher` of a PrivateClassifier is not fitted."""
    return hasattr(model, "student_") and "teacher" in getattr(model, "_shared", ())


def _check_attacks(attacks: str | Sequence[str], shadow: Any, regression: bool) -> list[str]:
    """Return the names of the attacks, or raise for impossible ones."""
    if isinstance(attacks, str) and attacks == "auto":
        possible = _WITHOUT_SHADOWS if shadow is None else ATTACKS
        return ["loss"] if regression else list(possible)
    names = [attacks] if isinstance(attacks, str) else list(attacks)
    if not names or not set(names) <= set(ATTACKS):
        raise ValueError(f'attacks={attacks!r}: use "auto" or names among {", ".join(ATTACKS)}.')
    if regression and names != ["loss"]:
        raise ValueError(
            f"attacks={names!r}: a regression model has no class probabilities, and only the "
            'attack "loss" (squared errors) works without. Use attacks=["loss"].'
        )
    with_shadows = sorted({*_WITH_SHADOWS} & {*names})
    if shadow is None and with_shadows:
        raise ValueError(f'{with_shadows} need shadow models. Pass shadow="clone" to train clones.')
    return names


def _check_model(name: str, model: Any, y: NDArray[Any]) -> None:
    """Raise for a model that cannot be attacked, or knows other classes."""
    if is_regressor(model):
        return
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"{name}={type(model).__name__} has no predict_proba (a loaded distiller comes without "
            "its teacher): attacks need class probabilities. Wrap it in CalibratedClassifierCV, or "
            'attack the other models alone, by name: {"student": distiller}.'
        )
    classes = getattr(model, "classes_", None)
    if classes is None or np.ndim(classes) != 1 or len(classes) < 2:
        raise ValueError(
            f"{name}={type(model).__name__} is not fitted, or has no one-dimensional classes_ of "
            "at least two labels: multi-output models are not supported."
        )
    unknown = ~np.isin(y, np.asarray(classes))
    if unknown.any():
        raise ValueError(
            f"{int(unknown.sum())} of {len(y)} records have a label that is none of the "
            f"{len(classes)} classes of {name}={type(model).__name__}."
        )


def _shadow_kinds(shadow: Any, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return, for each model by name, the estimator to train shadow models of."""
    if isinstance(shadow, Mapping):
        missing = sorted(set(models) - {str(name) for name in shadow})
        if missing:
            raise ValueError(f"shadow names no estimator for {missing}.")
        return {name: shadow[name] for name in models}
    if not isinstance(shadow, str):
        return dict.fromkeys(models, shadow)
    if shadow != "clone":
        raise ValueError(f'shadow={shadow!r} must be None, "clone", an estimator or a dict.')
    kinds = {
        name: unwrap(each.teacher) if _is_distilled(each) else each for name, each in models.items()
    }
    if not all(hasattr(each, "fit") and hasattr(each, "predict_proba") for each in kinds.values()):
        raise TypeError(
            'shadow="clone" needs models (for a student: its teacher) that can be trained and '
            "give probabilities. Pass the estimator to train as shadow=..."
        )
    return kinds


def _records(name: str, X: Any, y: Any) -> Records:
    """Return records with their labels as an array, or raise for another number of labels."""
    labels = np.asarray(y)
    if labels.shape != (n_rows(X),):
        raise ValueError(f"{name}: X has {n_rows(X)} rows, but y has shape {labels.shape}.")
    return X, labels


def _pooled(parts: Sequence[Records]) -> Records:
    """Return all records as one table and its labels."""
    return stack_rows(*(X for X, _ in parts)), np.concatenate([y for _, y in parts])


def _set_aside(
    nonmember: Records, rng: np.random.RandomState, fprs: Sequence[float]
) -> list[Records]:
    """Return the non-members to score and, a random half, those to compare with."""
    X, y = nonmember
    order, half = rng.permutation(len(y)), (len(y) + 1) // 2
    aside = f" (of {len(y):,}; half were set aside, since no X_reference was given)"
    report.check_fprs(fprs, half, aside)
    return [(take_rows(X, rows), y[rows]) for rows in map(np.sort, (order[:half], order[half:]))]


def _without_overlap(parts: list[Records], overlap: str) -> list[Records]:
    """Raise for, or drop, records (labels included) that are members and something else."""
    if overlap not in ("raise", "drop"):
        raise ValueError(f'overlap={overlap!r} must be "raise" or "drop".')
    keys = row_keys(*_pooled(parts))
    n = len(parts[0][1])
    twice = set(keys[:n]) & set(keys[n:])
    if twice and overlap == "raise":
        raise ValueError(
            f"Members and non-members overlap: {sum(k in twice for k in keys[:n])} of {n} members, "
            f"with their labels, are also among the {len(keys) - n} others. Split the records "
            'anew, or use overlap="drop", which leaves out all copies of such records.'
        )
    keep = np.array([key not in twice for key in keys])
    kept = [np.flatnonzero(part) for part in np.split(keep, np.cumsum([len(y) for _, y in parts]))]
    return [(take_rows(X, rows), y[rows]) for (X, y), rows in zip(parts, kept, strict=False)]
