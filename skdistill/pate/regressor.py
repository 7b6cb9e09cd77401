"""PATERegressor: from private rows and targets to a regressor that may be published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, is_regressor
from sklearn.linear_model import Ridge

from skdistill._cells import as_floats
from skdistill._validate import type_name
from skdistill.pate.base import PATE
from skdistill.schema import Column

__all__ = ["PATERegressor"]


class PATERegressor(RegressorMixin, PATE):
    """A private regressor from a private table alone: no public rows are needed.

    As :class:`PATEClassifier`, for targets that are numbers.

    Parameters
    ----------
    estimator : regressor
        The model of each teacher; cloned.
    student : regressor, default=None
        Trained on the noisy answers, on the features of the teachers. None is a Ridge.
    schema : Schema or tuple of (float, float)
        Public knowledge about the columns; see :class:`PATEClassifier`.
    output_range : tuple of (float, float)
        Public range of the targets, in their unit. A target outside is clipped, silently, and one
        that is no number becomes the middle.
    epsilon, delta, n_teachers, n_transfer, marginals_share, degree, n_bins, encoder
        See :class:`PATEClassifier`.
    n_rounds, basis, accountant, random_state, n_jobs, verbose
        See :class:`PATEClassifier`.

    Attributes
    ----------
    student_, privacy_, costs_, marginals_, schema_, n_teachers_, n_features_in_, feature_names_in_
        See :class:`PATEClassifier`; there is no class prior in `costs_`.

    See Also
    --------
    PATEClassifier : With all parameters, and references.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Ridge
    >>> from skdistill import PATERegressor
    >>> X, y = make_regression(20_000, n_features=5, random_state=0)
    >>> model = PATERegressor(
    ...     Ridge(), schema=(-5, 5), output_range=(-400, 400), epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.7
    True
    """

    output_range: Any

    def __init__(
        self,
        estimator: Any,
        student: Any = None,
        *,
        schema: Any = None,
        output_range: tuple[float, float] | None = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        n_teachers: int | str = "auto",
        n_transfer: int = 10_000,
        marginals_share: float = 0.1,
        degree: int | str = "auto",
        n_bins: int = 24,
        encoder: Any = "auto",
        n_rounds: int | str = "auto",
        basis: Any = "auto",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.student = student
        self.schema = schema
        self.output_range = output_range
        self.epsilon = epsilon
        self.delta = delta
        self.n_teachers = n_teachers
        self.n_transfer = n_transfer
        self.marginals_share = marginals_share
        self.degree = degree
        self.n_bins = n_bins
        self.encoder = encoder
        self.n_rounds = n_rounds
        self.basis = basis
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_estimator(self) -> None:
        if isinstance(self.estimator, type) or not is_regressor(self.estimator):
            raise TypeError(
                f"estimator={type_name(self.estimator)} must be a regressor: an instance."
            )
        if self.output_range is None:
            raise ValueError(
                "output_range must be given: (low, high), public knowledge about the target. The "
                "smallest and largest value in y are private."
            )

    def _read_targets(self, y: Any, cells: list[Any]) -> tuple[NDArray[Any], int]:
        """Return targets in their range."""
        low, high = (float(end) for end in self.output_range)
        values = Column("y", low=low, high=high, missing=True).read(as_floats(cells))
        return np.where(np.isnan(values), low / 2 + high / 2, values), 1

    def _blank_student(self) -> Any:
        return Ridge() if self.student is None else self.student

    def _output_range(self) -> tuple[float, float] | None:
        return self.output_range

    def _public_targets(self) -> str:
        return "the range of the target"
