"""Models of diffprivlib: the guarantee of each of them, read off its source.

diffprivlib's documentation states no neighbouring relation. Each function below computes, for
one class, the ε that its code gives under replace-one, and says how. Read in diffprivlib 0.6.6.

Not certified, because the claim cannot be proved:

- LinearRegression: the sensitivity of a sum of squares is taken from the lower bound alone
  (``np.max(np.abs([bounds_X[0][i], bounds_X[0][i]]))``), so that with bounds (0, 1) and without an
  intercept the squares are released without noise. Without an intercept X is not clipped.
- KMeans: a cluster without records keeps its centre exactly, a cluster with one record does not.
  (Its attributes ``labels_`` and ``inertia_`` are not protected either.)
- PCA and StandardScaler are not teachers. (The latter divides by the exact number of values that
  are not missing.)
- Any subclass.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdistill.accounting.relation import Relation, as_replace_one
from skdistill.certificates.base import AlreadyPrivate, Certificate, is_exactly
from skdistill.statement import NOT_PROTECTED

_PACKAGE = "diffprivlib.models"
_ASSUMES = (
    "the diffprivlib model was fitted once, with the parameters it has now",
    "its bounds or data_norm were given and not taken from the data",
    "diffprivlib's mechanisms are as private as they say (they add floating-point noise)",
)


class _NotProved(Exception):
    """Why a model's own ε is not used; the text is public."""


def diffprivlib_model(teacher: Any) -> Certificate | None:
    """Certify a fitted model of diffprivlib.

    Proof: the function for the class proves ε. Labels cost nothing more, by post-processing.
    """
    try:
        epsilon, assumes = _examine(teacher)
    except _NotProved:
        return None
    name = type(teacher).__name__
    return AlreadyPrivate(
        epsilon,
        name="already private",
        reason=(
            f"The teacher ({name}) is a private release itself, with its epsilon={teacher.epsilon} "
            f"counted for replace-one as ε={epsilon:.6g}; this is post-processing."
        ),
        reference="Dwork and Roth (2014), Proposition 2.1.",
        assumes=(*_ASSUMES, *assumes),
        not_protected=NOT_PROTECTED,
    )


def why_not_private(teacher: Any) -> str:
    """Say why a teacher of diffprivlib has no certificate; empty for any other teacher."""
    models = {each.__module__.partition(".")[0] for each in type(teacher).__mro__}
    try:
        if "diffprivlib" in models:
            _examine(teacher)
    except _NotProved as reason:
        return f"(The privacy of the diffprivlib model itself is not used: {reason}.)"
    return ""


def _examine(teacher: Any) -> tuple[float, tuple[str, ...]]:
    """Return the ε under replace-one, and its assumptions."""
    name = type(teacher).__name__
    if name not in _PROVED or not is_exactly(teacher, f"{_PACKAGE}.{name}"):
        raise _NotProved("no proof is known for this class")
    prove, assumes = _PROVED[name]
    epsilon = teacher.epsilon
    if not _is_number(epsilon) or not 0 < epsilon < math.inf:
        raise _NotProved("epsilon is not a positive, finite number")
    if teacher.random_state is not None:
        raise _NotProved("random_state is not None, and noise from a seed is a constant")
    if getattr(teacher, "warm_start", False) is not False:
        raise _NotProved("warm_start: each of several fits spends epsilon")
    _check_accountant(teacher, float(epsilon))
    try:
        check_is_fitted(teacher)
        return prove(teacher, float(epsilon)), assumes
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        raise _NotProved("its parameters are not those of a fit") from None


def _check_accountant(teacher: Any, epsilon: float) -> None:
    """Refuse a model that its own accountant knows to be fitted twice, or with another epsilon.

    A model without an accountant of its own writes to the one that all such models of the process
    share; there, more entries than one say nothing. A PrivacyLedger is shared as well.
    """
    accountant: Any = getattr(teacher, "accountant", None)
    if not is_exactly(accountant, "diffprivlib.accountant.BudgetAccountant"):
        return
    spent = [each[0] for each in accountant.spent_budget]
    if epsilon not in spent:
        raise _NotProved("its accountant was not charged this epsilon: it was changed after fit")
    shared = sys.modules["diffprivlib.accountant"].BudgetAccountant.load_default(None)
    if len(spent) > 1 and accountant is not shared:
        raise _NotProved(
            "its accountant was charged more than once; a model that was fitted once, with an "
            "accountant of its own, is certified"
        )


def _tree(teacher: Any, epsilon: float) -> float:
    """Return the ε of a DecisionTreeClassifier: twice its own.

    Splits are drawn without looking at the data. A leaf's label is drawn by permute-and-flip with
    ``sensitivity=1, monotonic=True`` on the counts of its classes: adding a record raises one
    count of one leaf by one, which costs ε; a leaf without records draws uniformly, as
    permute-and-flip does of zeros. So the ε is that of add-or-remove. Replacing a record changes
    two counts.
    """
    return as_replace_one(epsilon, 0.0, Relation.ADD_OR_REMOVE)[0]


def _forest(teacher: Any, epsilon: float) -> float:
    """Return the ε of a RandomForestClassifier: that of one tree.

    Records are dealt to the trees by position (or by a permutation that is drawn without looking
    at them), so with the number of records fixed, replacing one changes the rows of one tree.
    (Adding one moves the borders between all trees: under add-or-remove ε would be false.)
    """
    trees = getattr(teacher, "estimators_", ())
    if len(trees) != teacher.n_estimators or any(each.epsilon != epsilon for each in trees):
        raise _NotProved("its trees are not those of one fit with these parameters")
    return _tree(teacher, epsilon)


def _naive_bayes(teacher: Any, epsilon: float) -> float:
    """Return the ε of a GaussianNB: twice its own, or more if its bounds exclude zero.

    A third of ε each goes to the class counts, the sums and the sums of squares of d features, of
    each class (classes have disjoint records, so the classes cost no more than one). Adding a
    record changes one count by 1 and a square by the sensitivity in use, but it changes a sum by
    up to max(|low|, |high|), where high - low is used. A replaced record may change its class,
    which is a record less in one class and one more in another.
    """
    low, high = (np.asarray(bound, dtype=np.float64) for bound in teacher.bounds)
    with np.errstate(all="ignore"):
        change = np.maximum(np.abs(low), np.abs(high)) / (high - low)
    excess = float(np.mean(np.maximum(change, 1.0) - 1.0))
    if not excess < math.inf:
        raise _NotProved("its bounds are empty: a sum was released without noise")
    return as_replace_one(epsilon, 0.0, Relation.ADD_OR_REMOVE)[0] * (1 + excess / 3)


def _logistic(teacher: Any, epsilon: float) -> float:
    """Return the ε of a LogisticRegression, which is for replace-one, and may exceed its own.

    Objective perturbation (Chaudhuri, Monteleoni and Sarwate 2011, Theorem 9), one problem per
    class with ε/n_classes (one problem for two classes). Between neighbours, the density of the
    minimiser changes by two factors. With |x| ≤ R (R² = norm² + 1 with an intercept), r and r'
    the residuals of the two records in [0, 1], e the part of ε that scales the noise and A the
    Hessian of all that the data sets share:

    - noise: exp(e·(r|x| + r'|x'|)/(2R)) ≤ exp(e(1 + r)/2);
    - determinants: 1 + r(1−r)·xᵀA⁻¹x ≤ 1 + K·r(1−r), with K = norm²/ridge + 1/ridge of the
      intercept.

    diffprivlib chooses e with R where R² belongs, and scikit-learn's penalty leaves out the
    intercept. So ε is computed here: the maximum over r of e(1+r)/2 + log(1 + K·r(1−r)), a concave
    function. Where only the penalty of the data scientist (1/C) is in use, the intercept has no
    ridge, and no ε holds.
    """
    if teacher.n_jobs not in (None, 1):
        raise _NotProved("n_jobs: its workers draw noise from copies of one NumPy generator")
    if teacher.max_iter < 100 or teacher.tol > 1e-4:
        raise _NotProved("its optimiser may stop early (max_iter below 100, or tol above 1e-4)")
    n_problems = len(teacher.coef_)
    own, alpha, norm = epsilon / n_problems, 1.0 / teacher.C, float(teacher.data_norm)
    intercept = bool(teacher.fit_intercept)
    reach = 0.25 * math.sqrt(norm**2 + intercept)
    e, ridge, added = own - 2 * math.log1p(reach / alpha), alpha, 0.0
    if e <= 0:
        ridge, e = reach / math.expm1(own / 4), own / 2
        added = ridge - alpha
    if intercept and added <= 0:
        raise _NotProved(
            "its intercept is not penalised, which the proof of objective perturbation needs; with "
            "fit_intercept=False (and a column of ones inside data_norm) it is certified"
        )
    K = norm**2 / ridge + (1 / added if intercept else 0.0)
    half = e / 2
    # The root of the derivative, half·(1 + K·r(1−r)) + K(1 − 2r) = 0, that lies above 1/2.
    b = 2 - half
    r = min(1.0, (math.sqrt(b * b + 4 * half * (half + K) / K) - b) / (2 * half))
    one = half * (1 + r) + math.log1p(K * r * (1 - r))
    return max(epsilon, n_problems * one * (1 + 1e-9))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


_UNSEEDED = "NumPy's global random generator was not seeded before the model was fitted"
_PROVED: dict[str, tuple[Callable[[Any, float], float], tuple[str, ...]]] = {
    "DecisionTreeClassifier": (_tree, (_UNSEEDED,)),
    "RandomForestClassifier": (
        _forest,
        (_UNSEEDED, "nobody finds the 31-bit seeds that diffprivlib drew for the trees' noise"),
    ),
    "GaussianNB": (_naive_bayes, ()),
    "LogisticRegression": (_logistic, ("its optimiser found the minimum",)),
}
