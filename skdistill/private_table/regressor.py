"""PrivateRegressor: from private rows and targets to a regressor that may be published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge

from skdistill._cells import as_floats
from skdistill._numbers import check_range
from skdistill._tables import check_label_types
from skdistill.private_table.base import PrivateTable
from skdistill.schema import Column
from skdistill.teachers import NewtonRegressor


class PrivateRegressor(RegressorMixin, PrivateTable):
    """A private regressor from a private table alone: no public rows are needed.

    As :class:`PrivateClassifier`, for targets that are numbers.

    Parameters
    ----------
    teacher : regressor, default=None
        The model that sees private rows; cloned. None is a :class:`~skdistill.NewtonRegressor`
        with products of the columns among its features.
    student : regressor, default=None
        Trained on the released labels. None is the released model itself after gradient rounds,
        else a Ridge.
    schema : Schema, tuple of (float, float), float or int
        Public knowledge about the columns; see :class:`PrivateClassifier`.
    output_range : tuple of (float, float)
        Public range of the targets, in their unit. A target outside is clipped, and one that is no
        number becomes the middle.
    epsilon, delta : float, default=1.0 and 1e-6
        The promise for the whole fit; see :class:`PrivateClassifier`.
    mechanism, accountant : object, default="auto" and None
        See :class:`PrivateClassifier`.
    random_state, n_jobs, verbose : object, default=None, None and 0
        See :class:`PrivateClassifier`.

    Attributes
    ----------
    student_, privacy_, costs_, table_, schema_, n_teachers_, n_features_in_, feature_names_in_
        See :class:`PrivateClassifier`.

    See Also
    --------
    PrivateClassifier : With all parameters, and references.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skdistill import PrivateRegressor
    >>> X, y = make_regression(20_000, n_features=5, random_state=0)
    >>> model = PrivateRegressor(
    ...     schema=(-5, 5), output_range=(-400, 400), epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    """

    output_range: Any
    _public_targets = "the range of the target"

    def __init__(
        self,
        teacher: Any = None,
        student: Any = None,
        *,
        schema: Any = None,
        output_range: tuple[float, float] | None = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        mechanism: Any = "auto",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.schema = schema
        self.output_range = output_range
        self.epsilon = epsilon
        self.delta = delta
        self.mechanism = mechanism
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        if self.output_range is None:
            raise ValueError(
                "output_range=(low, high) must be given: the smallest and largest y are private."
            )
        super()._check_settings()

    def _blank_teacher(self) -> Any:
        return NewtonRegressor(self.output_range) if self.teacher is None else self.teacher

    def _read_targets(self, y: Any, cells: list[Any]) -> NDArray[Any]:
        """Return targets in their range."""
        low, high = (float(end) for end in self.output_range)
        check_label_types(y)
        values = Column("y", low=low, high=high, missing=True).read(as_floats(cells))
        return np.where(np.isnan(values), low / 2 + high / 2, values)

    def _made_up(self, n: int) -> NDArray[Any]:
        low, high = (float(end) for end in self.output_range)
        return low + (high - low) * (1 + np.arange(n) % 2) / 3

    def _blank_student(self) -> Any:
        return Ridge() if self.student is None else self.student

    def _output_range(self) -> tuple[float, float] | None:
        return check_range(self.output_range)
