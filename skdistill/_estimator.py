"""The scikit-learn interface of the private estimators, except `fit`."""

from __future__ import annotations

import copy
from functools import wraps
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._callbacks import without_callbacks
from skdistill._display import as_html, as_text, visual_block
from skdistill._doc_links import DocLink
from skdistill._tables import check_table
from skdistill._trained_on import quietly
from skdistill._withheld import SetAside, Withheld, WithheldTeacher, set_aside_in_grids
from skdistill.accounting.charging import DetachedAccountant, bind_to_process, for_pickle
from skdistill.certificates.base import unwrap
from skdistill.neural import adapted, clone_network
from skdistill.publishing.private_parts import without_memory
from skdistill.publishing.published import Published, publish
from skdistill.statement import PrivacyStatement
from skdistill.students import ThresholdedStudent, student_has

_WITH_SETTINGS = {
    "mechanism": "ResidualRounds()",
    "student": "LogisticRegression()",
    "teacher": "TeacherEnsemble(...)",
}
_STAND_INS = (Withheld, WithheldTeacher, DetachedAccountant)


def _by_student(method: str) -> Any:
    """Return a method of ThresholdedStudent, documentation included, that asks the student."""

    @wraps(getattr(ThresholdedStudent, method))
    def ask(self: DistilledEstimator, X: Any, *more: Any, **named: Any) -> Any:
        check_is_fitted(self)
        X = check_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return getattr(self._thresholded(), method)(X, *more, **named)

    return ask


def _offered(method: str) -> Any:
    """Return such a method that is there where the student has it."""

    def check(self: DistilledEstimator) -> bool:
        student = getattr(self, "student_", None)
        if student is None:
            student = adapted(self._blank_student())
        return student_has(student, method, classifies=self._predicts() == "classifier")

    return available_if(check)(_by_student(method))


class DistilledEstimator(DocLink, BaseEstimator):
    """An estimator that predicts by a student, which learned from private labels.

    A class derived from it has a ``fit`` that sets ``student_``, ``privacy_``,
    ``decision_offsets_`` and, for a classifier, ``classes_``, and a method ``_blank_student``.

    Copies share the teacher, the certificate and the accountant. Pickles hold none of them
    (:mod:`skdistill._withheld`), whether the estimator is fitted or not; settings that may be
    fitted objects are pickled as blank clones. Texts and diagrams show settings only.
    """

    # Settings that copies share, that pickles do not hold, and that are shown by their class.
    _shared: ClassVar[tuple[str, ...]] = ("accountant",)
    # Settings that may be fitted objects, and are pickled without their fitted attributes.
    _prototypes: ClassVar[tuple[str, ...]] = ("student",)

    teacher: Any
    student: Any
    certificate: Any
    accountant: Any
    student_: Any
    classes_: NDArray[Any]
    decision_offsets_: NDArray[np.float64] | None
    privacy_: PrivacyStatement
    _blank_student: Any  # a method: the student that a fit would train

    predict = _by_student("predict")
    score = _by_student("score")
    predict_proba = _offered("predict_proba")
    predict_log_proba = _offered("predict_log_proba")
    decision_function = _offered("decision_function")

    def export(self) -> Published:
        """Return the student as an ordinary estimator, and its statement, to be published.

        Returns
        -------
        published : Published
            Its predictions are those of this estimator. It holds no teacher; :func:`skdistill.save`
            writes it to a file that runs no code.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            Where the student holds the teacher, or a part of it.
        """
        check_is_fitted(self)
        model = self._thresholded()
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return publish(model, self.privacy_, getattr(self, "teacher", None))

    def _thresholded(self) -> ThresholdedStudent:
        """Return the student, its classes and its threshold, without names of columns to check."""
        classifies = self._predicts() == "classifier"
        return ThresholdedStudent(
            self.student_,
            self.classes_ if classifies else None,
            getattr(self, "decision_offsets_", None) if classifies else None,
        )

    def _predicts(self) -> str | None:
        """Return "classifier" or "regressor"."""
        return get_tags(self).estimator_type

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "privacy_")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those inside a fitted teacher are not part of them.

        Parameters
        ----------
        deep : bool, default=True
            Include ``student__*``.

        Returns
        -------
        params : dict
            Settings by name.
        """
        params = super().get_params(deep=deep)
        if "teacher" not in self._shared:
            return params
        return {name: value for name, value in params.items() if not name.startswith("teacher__")}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, as of any estimator; those of a fitted teacher are refused.

        Parameters
        ----------
        **params : dict
            ``student__*`` reach the student.

        Returns
        -------
        self : estimator
            The object itself.
        """
        inner = sorted(name for name in params if name.startswith("teacher__"))
        if inner and "teacher" in self._shared:
            raise ValueError(
                f"{', '.join(inner)} cannot be set: the teacher is fitted and is not fitted again, "
                "so the setting would change your object and have no effect. Compare teachers by "
                "a grid over `teacher` of FrozenEstimator(fitted_teacher)."
            )
        for name in params:
            outer, _, rest = name.partition("__")
            value = params.get(outer, getattr(self, outer, None))
            if rest and outer in _WITH_SETTINGS and isinstance(value, str | None):
                raise ValueError(
                    f"{name} cannot be set: {outer}={value!r} has no settings. Pass an object that "
                    f"has them, such as {outer}={_WITH_SETTINGS[outer]}."
                )
        if isinstance(params.get("teacher"), FrozenEstimator):
            set_aside_in_grids(params["teacher"], from_pickle="_from_pickle" in vars(self))
        return super().set_params(**params)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "accountant":
            bind_to_process(value)
        super().__setattr__(name, value)

    def __sklearn_clone__(self) -> Self:
        params = self.get_params(deep=False)
        shared = {name: params.pop(name) for name in self._shared}
        if "teacher" in shared:
            shared["teacher"] = _frozen(shared["teacher"])
        return type(self)(**shared, **{name: clone_network(each) for name, each in params.items()})

    def __copy__(self) -> Self:
        return self._twin(lambda value: value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._twin(lambda value: copy.deepcopy(value, memo))

    def _twin(self, copied: Any) -> Self:
        twin = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(twin, name, value if name in self._shared else copied(value))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without teacher, certificate and accountant.

        Of a fitted estimator they are gone. One that is not fitted finds them again on this
        machine while this process runs, as worker processes do.
        """
        state, fitted = dict(super().__getstate__()), self.__sklearn_is_fitted__()
        state.pop("_from_pickle", None)
        state |= self._left_behind() if fitted else self._set_aside()
        for name in self._prototypes:
            state[name] = without_callbacks(without_memory(clone_network(state[name])))
        if fitted:
            state["student_"] = without_memory(state["student_"])
        return state

    def _left_behind(self) -> dict[str, Any]:
        """Return the settings that stand in the pickle of a fitted estimator for good."""
        blank: dict[str, Any] = {"accountant": None}
        if "certificate" in self._shared and not isinstance(self.certificate, str):
            blank["certificate"] = "auto"
        if "teacher" in self._shared:
            teacher = unwrap(self.teacher)
            if not isinstance(teacher, WithheldTeacher):
                teacher = WithheldTeacher(type(teacher).__name__, self._predicts() or "classifier")
            blank["teacher"] = teacher
        return blank

    def _set_aside(self) -> dict[str, Any]:
        """Return the settings that a worker process finds again."""
        found = {name: getattr(self, name) for name in self._shared}
        if not isinstance(found["accountant"], Withheld):
            found["accountant"] = for_pickle(found["accountant"])
        kind, public = self._predicts() or "classifier", (type(None), str, *_STAND_INS)
        for name, value in found.items():
            if not isinstance(value, public):
                found[name] = SetAside(value, kind * (name == "teacher"))
        return found

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._from_pickle = True

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return a text that shows settings only."""
        text = as_text(self)
        return text if len(text) <= N_CHAR_MAX else text[: N_CHAR_MAX - 4] + "...)"

    def _repr_html_(self) -> str:
        return as_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": as_html(self)}

    def _sk_visual_block_(self) -> Any:
        return visual_block(self)

    @property
    def _get_params_html(self) -> Any:
        # From 1.9 on, scikit-learn's diagrams show a table of parameters where an estimator has
        # this method. It prints the repr of the teacher, which may hold private values.
        raise AttributeError("The settings of a private estimator are shown by its text alone.")


def _frozen(teacher: Any) -> Any:
    """Keep a fitted teacher through clone; clone one that is not fitted."""
    if isinstance(teacher, FrozenEstimator):
        return teacher
    fitted = quietly(_is_fitted, teacher)  # None where its own code raises: `fit` will say so
    return clone(teacher, safe=False) if fitted is False else FrozenEstimator(teacher)


def _is_fitted(teacher: Any) -> bool:
    try:
        check_is_fitted(teacher)
    except (NotFittedError, TypeError, AttributeError):
        return False
    return True
