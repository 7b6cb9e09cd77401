"""The common part of the replay audit's tests: one release, and all texts beside it."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from replay_cases import SECRETS, cells
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skdistill import PrivateDistiller
from skdistill.accounting import PrivacyLoss
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.release.soft_labels import SoftLabels
from skdistill.release.votes import ConfidentMax, NoisyMax
from skdistill.schema import Schema
from skdistill.testing import _Recorded

GAUSSIAN, LAPLACE = PrivacyLoss.gaussian(8.0, 1e-6), PrivacyLoss.laplace(8.0)


def basis(X):
    """Return public functions on the rows of any container."""
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    return np.eye(n)[:, :4]


@dataclass(frozen=True)
class Way:
    """A mechanism and the law of its noise."""

    mechanism: Any
    loss: PrivacyLoss = GAUSSIAN

    def distiller(self, teacher, kind="numbers"):
        """Return a distiller; rows with text need a student that encodes them."""
        blank = Ridge() if is_regressor(teacher) else LogisticRegression()
        encode = OneHotEncoder(handle_unknown="ignore")
        return PrivateDistiller(
            teacher,
            blank if kind == "numbers" else make_pipeline(encode, blank),
            mechanism=self.mechanism,
            epsilon=8.0,
            delta=0.0 if self.loss.kind == "laplace" else 1e-6,
            output_range=(-1.0, 1.0) if is_regressor(teacher) else None,
            random_state=0,
        )


LAWS = {
    "gaussian": Way(SoftLabels("gaussian")),
    "laplace": Way(SoftLabels("laplace"), LAPLACE),
}
MEANS = {
    "one round": Way(ResidualRounds(1)),
    "two rounds": Way(ResidualRounds(2, basis)),
    "one round of laplace": Way(ResidualRounds(1, noise="laplace"), LAPLACE),
}
VOTES = MEANS | {
    "noisy max": Way(NoisyMax()),
    "noisy max by laplace": Way(NoisyMax(), LAPLACE),
    "confident max": Way(ConfidentMax(threshold=1.0)),
}


def heard(function, *args):
    """Return the result and all warnings; neither messages nor outputs may quote a secret."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args)
    said = [f"{type(w.message).__name__}: {w.message}" for w in caught]
    tells_nothing(*said)
    return result, said


def tells_nothing(*texts):
    for text in texts:
        assert not any(secret in text for secret in SECRETS)


def recorded_teacher(way, teacher, X_public, kind="numbers"):
    """Return the runs of one release of a fitted teacher, to hold neighbours against."""

    def mechanism(fitted):
        release = way.distiller(fitted, kind).calibrate(X_public)
        tells_nothing(repr(release.mechanism), release.summary, str(release.statement()))
        return release.queries(fitted, release.prepare())

    return unchanged(X_public, lambda: _Recorded(mechanism, teacher, way.loss))


def unchanged(X_public, function, *args):
    """Return the result of a silent function that leaves the public rows as they are."""
    before = cells(X_public)
    result, _ = heard(function, *args)
    assert cells(X_public) == before
    return result


def audit_teachers(way, teacher, neighbour, X_public, kind="numbers"):
    """Audit one release of two fitted teachers; return how far its queries moved."""
    recorded = recorded_teacher(way, teacher, X_public, kind)
    return moved_by(neighbour, recorded, X_public)


def moved_by(neighbour, recorded, X_public):
    """Return how far a neighbour moves the queries of a release."""
    return unchanged(X_public, recorded.audit, neighbour).moved


def members_changed(teacher, neighbour, X_public):
    votes = [list(t.member_votes(X_public)) for t in (teacher, neighbour)]
    return sum(not np.array_equal(*pair, equal_nan=True) for pair in zip(*votes, strict=True))


SCHEMAS = {
    "numbers": Schema({"u": (-3, 3), "v": (-3, 3), "c": (0, 2)}, integer=["c"]),
    "mixed": Schema({"u": (-3, 3), "v": (-3, 3), "c": ["baker", "clerk", "nurse"]}),
}
