"""Gradient rounds as a mechanism: for teachers that keep their private rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from skdistill._scores import probabilities_of
from skdistill._silenced import warn_caller
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.boundary import call_privately
from skdistill.release.gradient_rounds import LinearRelease, gradient_rounds, prediction_noise
from skdistill.release.mechanism import Labels, Mechanism, TransferSet
from skdistill.release.outputs import before_last_step
from skdistill.release.query import Queries

_LARGEST_SCALE = 100  # from 30 on accuracy falls, at 100 by .1 of .73 (10 columns, epsilon=1)


class GradientRounds(Mechanism):
    """A linear model, learned in rounds of noisy sums of clipped gradients.

    The model labels the transfer rows, and is the default student itself. If the teacher was given
    public rows (`curvature`), one release serves every fold and every student of a search.

    Parameters
    ----------
    noise : {"auto", "gaussian", "laplace"}, default="auto"
        The law of the noise; "auto" is "gaussian", and "laplace" for ``delta=0``.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from; see :class:`~skdistill.SoftLabels`.

    See Also
    --------
    skdistill.NewtonClassifier, skdistill.NewtonRegressor : The teachers that it is for.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill import GradientRounds, NewtonClassifier, PrivateDistiller
    >>> X, y = make_classification(3_000, random_state=0)
    >>> teacher = NewtonClassifier(classes=[0, 1]).fit(X[:2_000], y[:2_000])
    >>> distiller = PrivateDistiller(teacher, mechanism=GradientRounds(noise="laplace"))
    >>> distiller.preview(X[2_000:]).mechanism
    'laplace, gradient rounds'
    """

    kind = "gradients"

    def __init__(self, noise: str = "auto", *, sampler: str = "exact") -> None:
        self.noise = noise
        self.sampler = sampler

    def is_progressive(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> bool:
        """Each round asks for gradients at the answer of the round before."""
        return False

    def rows_matter(self, bound: Any) -> bool:
        """Whether the released model depends on the transfer rows."""
        return bound.curvature is None

    def prepare(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> Any:
        """Return the transfer rows in the teacher's features, as finite numbers."""
        features = call_privately(partial(before_last_step, bound), asked.X)
        try:
            features = check_array(features, accept_sparse="csr", dtype=np.float64, input_name="X")
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{error} Gradient rounds need finite numbers. Of a table with text or gaps, "
                "TableFeatures makes them: make_pipeline(FrozenEstimator(TableFeatures(schema)"
                ".fit(X_public)), NewtonClassifier(...))."
            ) from error
        _warn_of_scales(features if bound.curvature is None else bound.curvature)
        return features

    def queries(
        self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Yield the queries of ``gradient_rounds``, and label the rows with its model."""
        public = prepared if bound.curvature is None else bound.curvature
        model = yield from gradient_rounds(bound.rows, public, loss)
        return _labels(model, asked, prepared)

    def arrays(self, labels: Labels) -> dict[str, Any]:
        """Return the released model: labels of any rows can be computed from it."""
        model = labels.model
        numbers = np.array([model.n_rounds, model.n_directions])
        held = {"coef": model.coef, "intercept": model.intercept, "numbers": numbers}
        return held if model.prior is None else {**held, "prior": model.prior}

    def restored(self, held: Any, asked: TransferSet, prepared: Any) -> Labels:
        """Return the labels of the rows by a model that was released before."""
        (n_rounds, n_directions), prior = map(int, held["numbers"]), held.get("prior")
        model = LinearRelease(held["coef"], held["intercept"], n_rounds, n_directions, prior)
        return _labels(model, asked, prepared)

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the size of the noise on a prediction: public."""
        return asked.width * prediction_noise(bound.rows, loss)

    def text(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> str:
        """Name the law of the noise, and the rounds."""
        return f"{loss.kind}, gradient rounds"


def _warn_of_scales(public: Any) -> None:
    """Warn of a column of public features that is so large that little of the others is learned."""
    with np.errstate(all="ignore"):
        deviations = np.sqrt(StandardScaler(with_mean=False).fit(public).var_)
    positive = np.sort(deviations[deviations > 0])
    if len(positive) and positive[-1] > _LARGEST_SCALE * positive[(len(positive) - 1) // 2]:
        warn_caller(
            f"Column {int(deviations.argmax())} of the features (from 0) varies over "
            f"{_LARGEST_SCALE} times as much as most others, of which little will be learned: the "
            "penalty and the noise are the same for all columns. Standardise them by public rows: "
            "make_pipeline(FrozenEstimator(StandardScaler().fit(X_public)), NewtonClassifier(...))."
        )


def _labels(model: LinearRelease, asked: TransferSet, features: Any) -> Labels:
    """Label rows with a released model: post-processing."""
    scores = np.asarray(features @ model.coef.T) + model.intercept
    if asked.classes is None:
        low, high = asked.bounds
        values = low + (np.clip(scores[:, 0], -1, 1) + 1) / 2 * (high - low)
    else:
        values = probabilities_of(scores)
    everything = np.ones(asked.n_rows, dtype=bool)
    return Labels(np.asarray(values), 0.0, everything, model.prior, model)
