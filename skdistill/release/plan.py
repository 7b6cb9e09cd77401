"""What a release will be, and what it costs: decided from public quantities alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import AlreadyPrivate, Certificate, ParameterBall, RowBound
from skdistill.release.noise import Sampler, active_sampler
from skdistill.statement import PrivacyStatement

__all__ = ["PRIOR_SHARE", "ReleasePlan", "plan_release"]

#: Part of μ² (or, without δ, of ε) that buys the class prior, where a teacher keeps class counts.
PRIOR_SHARE = 0.02


@dataclass(frozen=True)
class ReleasePlan:
    """One release: what is measured, with which noise, at what price.

    Parameters
    ----------
    certificate : Certificate
        Bounds what one record can change.
    loss : PrivacyLoss or None
        The price of the whole release; None where it is free (``mechanism`` says why).
    mechanism : {"gaussian", "laplace", "post-processing", "none"}
        How the teacher's answers are protected.
    sampler : Sampler
        Where the noise comes from.
    n_rows : int
        Transfer rows to label.
    classes : ndarray or None
        Class labels; None for a regressor.
    output_range : tuple of (float, float) or None
        For a regressor, what its outputs are clipped to.
    temperature : float
        Softens soft labels.
    with_prior : bool
        Whether the class counts are released too.
    """

    certificate: Certificate
    loss: PrivacyLoss | None
    mechanism: str
    sampler: Sampler
    n_rows: int
    classes: NDArray[Any] | None
    output_range: tuple[float, float] | None
    temperature: float = 1.0
    with_prior: bool = False

    @property
    def label_loss(self) -> PrivacyLoss | None:
        """The part of the price that the labels take."""
        if self.loss is None or not self.with_prior:
            return self.loss
        return self.loss.share(1 - PRIOR_SHARE)

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise on one released label (public).

        For parameters it is the noise on a score, divided by 4: the steepest slope of the sigmoid.
        """
        loss, bound = self.label_loss, self.certificate
        if loss is None:
            return 0.0
        spread = math.sqrt(2.0) if loss.kind == "laplace" else 1.0
        if isinstance(bound, RowBound):
            moved = (
                self.n_rows * bound.l1
                if loss.kind == "laplace"
                else math.sqrt(self.n_rows) * bound.l2
            )
            return spread * loss.scale(moved)
        if isinstance(bound, ParameterBall) and bound.feature_norm is not None:
            return spread * loss.scale(bound.radius) * bound.feature_norm / 4
        return 0.0

    def statement(self) -> PrivacyStatement:
        """Say what this release promises."""
        bound = self.certificate
        free = bound if isinstance(bound, AlreadyPrivate) else None
        if self.loss is not None:
            epsilon, delta, mu = self.loss.epsilon, self.loss.delta, self.loss.mu
        elif free is not None:
            epsilon, delta, mu = free.epsilon, free.delta, None
        else:
            epsilon, delta, mu = math.inf, 0.0, None
        return PrivacyStatement(
            epsilon=epsilon,
            delta=delta,
            mu=mu,
            relation=(
                f"replace one {bound.unit} of the teacher's training data, whose size is public"
            ),
            mechanism=self.mechanism,
            certificate={
                "name": bound.name,
                "bound": _bound_text(bound),
                "reason": bound.reason,
                "reference": bound.reference,
            },
            n_queries=self.n_rows,
            assumes=bound.assumes,
            sampler=self.sampler.name if self.loss is not None else "no noise",
            private=free is not None or (self.loss is not None and self.sampler.private),
        )

    @property
    def signal_scale(self) -> float:
        """The largest standard deviation a label can have: half the range it lives in."""
        if self.output_range is None:
            return 0.5
        return (self.output_range[1] - self.output_range[0]) / 2


def plan_release(
    certificate: Certificate,
    *,
    n_rows: int,
    epsilon: float,
    delta: float,
    mechanism: str,
    sampler: str,
    classes: NDArray[Any] | None,
    output_range: tuple[float, float] | None,
    temperature: float = 1.0,
    want_prior: bool = False,
) -> ReleasePlan:
    """Choose the mechanism and calibrate the price. Touches no output of the teacher.

    Raises
    ------
    ValueError
        Where the settings contradict each other, with the one line that mends it.
    """
    with_prior = want_prior and classes is not None and certificate.class_counts is not None
    loss: PrivacyLoss | None = None
    if isinstance(certificate, AlreadyPrivate):
        mechanism, with_prior = "post-processing", False
    elif math.isinf(epsilon):
        mechanism = "none"
    else:
        if mechanism == "auto":
            mechanism = _cheapest(certificate, n_rows, epsilon, delta)
        if mechanism == "laplace":
            loss = PrivacyLoss.laplace(epsilon)
        else:
            loss = PrivacyLoss.gaussian(epsilon, delta)
        _check_temperature(certificate, classes, temperature)
    return ReleasePlan(
        certificate=certificate,
        loss=loss,
        mechanism=mechanism,
        sampler=active_sampler(sampler),
        n_rows=n_rows,
        classes=classes,
        output_range=output_range,
        temperature=temperature,
        with_prior=with_prior,
    )


def _bound_text(bound: Certificate) -> str:
    if isinstance(bound, RowBound):
        return f"each row moves by at most {bound.l1:.6g} (L1), {bound.l2:.6g} (L2)"
    if isinstance(bound, ParameterBall):
        return f"the parameters move by at most {bound.radius:.6g} (L2)"
    if isinstance(bound, AlreadyPrivate):
        return "nothing more is released than the teacher already protects"
    return "none"


def is_diameter(certificate: Certificate) -> bool:
    """Whether a row bound is the diameter of the simplex, which any map into it satisfies."""
    return isinstance(certificate, RowBound) and certificate.l2 >= math.sqrt(2) * (1 - 1e-12)


def _check_temperature(
    certificate: Certificate, classes: NDArray[Any] | None, temperature: float
) -> None:
    if temperature == 1 or classes is None or not isinstance(certificate, RowBound):
        return
    if not is_diameter(certificate):
        raise ValueError(
            f"temperature={temperature!r} with the certificate {certificate.name!r}: its bound "
            "holds for the teacher's own probabilities, and tempering can stretch a small change "
            "without limit. Use temperature=1."
        )


def _cheapest(certificate: Certificate, n_rows: int, epsilon: float, delta: float) -> str:
    """Choose the mechanism with less noise: Laplace without δ or for very few rows, else Gaussian.

    Both standard deviations are public: √2·m·l1/ε against √m·l2/μ.
    """
    if delta == 0:
        return "laplace"
    if not isinstance(certificate, RowBound):
        return "gaussian"
    laplace = math.sqrt(2) * PrivacyLoss.laplace(epsilon).scale(n_rows * certificate.l1)
    gaussian = PrivacyLoss.gaussian(epsilon, delta).scale(np.sqrt(n_rows) * certificate.l2)
    return "laplace" if laplace < gaussian else "gaussian"
