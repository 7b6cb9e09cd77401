"""Signal against noise, before a release and after it: all of it from public numbers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._trained_on import attribute, last_step
from skdistill.certificates import certify
from skdistill.certificates.base import DisjointTeachers, is_exactly, unwrap
from skdistill.release.calibration import Release
from skdistill.release.gradient_rounds import prediction_noise
from skdistill.release.mechanism import TransferSet
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.teachers.shards import default_n_teachers

_RECORDS = (1_000, 10_000, 100_000)  # private ones, whose number is not known to such a release


def noise_warning(
    release: Release, teacher: Any, epsilon: float, prior: NDArray[np.float64] | None = None
) -> str:
    """Return a warning if there is more noise than signal, with a remedy for this teacher; else "".

    Of a private teacher, say that it has spent more than `epsilon`. `prior` has public shares of
    the classes. Noise counts as a linear student feels it, averaged over the rows. In 72 settings
    of ``benchmarks/noise_warning.py`` students had an AUC of .56 on average where this noise was
    more than the spread of the labels (50 settings), and of .84 where it was less than half of it
    (14).
    """
    bound, asked = release.bound, release.asked
    if release.loss is None:
        spent = getattr(bound, "epsilon", 0.0) if bound.kind == "private" else 0.0
        if spent <= epsilon:
            return ""
        return (
            f"epsilon={epsilon:g} was asked for, but the teacher has already spent "
            f"epsilon={spent:g}; the statement reports the latter."
        )
    signal, noise = spread_of_labels(asked, prior), release.noise_scale
    left = release.noise_averaged(_n_columns(asked.X) + 1)
    if left <= signal:
        return ""
    averaged = f", {left:.3g} once a linear student has averaged it" if left < noise else ""
    shares = "" if prior is None else ", for classes of these shares"
    rows = release.loss.kind == "laplace" and bound.kind in ("rows", "members")
    fewer = ", or fewer rows (max_queries)" if rows else ""
    text = (
        f"The released labels are mostly noise: standard deviation {noise:.3g} per "
        f"label{averaged}, against at most {signal:.2g} for the signal{shares} (certificate: "
        f"{bound.name}). Do not expect much of the student. A remedy is "
        f"{_remedy(release, teacher)}, a larger epsilon{fewer}."
    )
    return text + ("\n" + noise_table(release) if bound.name == "worst case" else "")


def spread_of_labels(asked: TransferSet, prior: NDArray[np.float64] | None = None) -> float:
    """Return the largest standard deviation that labels can have.

    Labels of shares p vary most where each row is sure of its class: each of the k numbers by √((1
    - Σp²)/k) on average. Without shares it is that of equal ones; of a regression half its range.
    """
    if asked.classes is None:
        return asked.width / 2
    k = len(asked.classes)
    shares = np.full(k, 1 / k)
    if prior is not None and np.maximum(prior, 0).sum() > 0:
        shares = np.maximum(prior, 0) / np.maximum(prior, 0).sum()
    return math.sqrt(max(0.0, 1 - float(shares @ shares)) / k)


def noise_table(release: Release) -> str:
    """Return a small table: the noise of this teacher, of its clones on shards, of gradient rounds.

    All of it is for the price and the rows of this release, averaged by a linear student. Gradient
    rounds are left out where rows are not numbers.
    """
    asked, loss = release.asked, release.label_loss
    assert loss is not None
    width, n_classes = _n_columns(asked.X), asked.n_classes
    this = f"{release.noise_averaged(width + 1):.3g}"
    clones = [f"{_shards(release, n):.2g}" for n in _RECORDS]
    lines = [
        ("private records", *(f"{n:,}" for n in _RECORDS)),
        ("this one model", *[this] * len(_RECORDS)),
        ("skdistill.refit(...)", *clones),
    ]
    if np.isfinite(width) and asked.holds_numbers:
        n_scores = n_classes if n_classes and n_classes > 2 else 1
        sizes = {"width": int(width), "n_classes": n_classes or 0, "n_scores": n_scores}
        rows_of: list[Any] = [SimpleNamespace(n_units=n, **sizes) for n in _RECORDS]
        rounds = [f"{asked.width * prediction_noise(each, loss):.2g}" for each in rows_of]
        lines.append(("Newton teacher", *rounds))
    first = max(len(line[0]) for line in lines)
    rows = [f"  {name:<{first}}" + "".join(f"{x:>10}" for x in cells) for name, *cells in lines]
    head = f"Noise of a linear student's predictions, epsilon={loss.epsilon:.3g}:"
    return "\n".join([head, *rows])


def _shards(release: Release, n_records: int) -> float:
    """Return the noise that clones on shards of so many records would have."""
    asked, loss = release.asked, release.label_loss
    assert loss is not None
    k = default_n_teachers(n_records, asked.n_classes or 1)
    bound = DisjointTeachers(2 / k, math.sqrt(2) / k, n_teachers=k)
    rounds = ResidualRounds(noise=loss.kind)
    return Release(bound, asked, rounds, loss).noise_averaged(_n_columns(asked.X) + 1)


def _n_columns(X: Any) -> float:
    """Return the number of columns of public rows; infinity for rows that are no table."""
    shape = getattr(X, "shape", None)
    if shape is None:
        first = X[0] if len(X) else ""
        return len(first) if isinstance(first, (list, tuple)) else math.inf
    return math.prod(shape[1:]) if len(shape) > 1 else math.inf


def _remedy(release: Release, teacher: Any) -> str:
    """Name a change that lowers the noise for this kind of teacher."""
    bound, last = release.bound, last_step(unwrap(teacher))
    if bound.kind == "parameters":
        return "a teacher whose parameters one record moves less"
    if bound.kind == "gradients":
        return "more private records"
    if bound.kind == "members":
        unsmoothed = release.mechanism.get_params().get("basis", "none of its own") is None
        return "more teachers in the ensemble" + (
            ', and a basis to smooth them in (basis="auto")' if unsmoothed else ""
        )
    if is_exactly(last, "skdistill.teachers.newton.NewtonRegressor"):  # others' may be private
        own = attribute(last, "output_range_")
        if isinstance(own, tuple) and own != release.asked.output_range:
            return f"output_range={own}, for which alone the NewtonRegressor has a proof. Besides"
    in_pipeline = last is not unwrap(teacher)
    if in_pipeline and certify(last, output_range=release.asked.output_range).name != bound.name:
        return (
            "earlier steps that learn nothing from private rows. One of them was fitted together "
            f"with the {type(last).__name__}, whose own bound does not hold therefore. Fit "
            "that step on public rows and wrap it in FrozenEstimator, as "
            "FrozenEstimator(TableFeatures(schema).fit(X_public)). Besides"
        )
    return (
        "skdistill.refit(teacher, X_private, y_private), which trains clones of this teacher on "
        "disjoint shards (a TeacherEnsemble), or a teacher with a bound of its own "
        "(NewtonClassifier, NewtonRegressor)"
    )
