"""What a release will be, and what it costs: decided from public quantities alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import (
    AlreadyPrivate,
    Certificate,
    DisjointTeachers,
    ParameterBall,
    RowBound,
)
from skdistill.release.noise import Sampler, active_sampler
from skdistill.release.noisy_max import most_queries
from skdistill.release.rounds import automatic_rounds, basis_size, default_shares
from skdistill.statement import NOT_PROTECTED, PrivacyStatement

__all__ = ["LABEL_ONLY", "PRIOR_SHARE", "ReleasePlan", "plan_release", "query_limit"]

#: Mechanisms that release the winning class alone.
LABEL_ONLY = ("noisy_max", "confident_max")

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
    mechanism : str
        How the teacher's answers are protected: "gaussian", "laplace", "noisy_max",
        "confident_max", "post-processing" (of a private teacher) or "none".
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
    shares : tuple of float
        Parts of the labels' μ² that residual rounds take, one per round; empty where the release
        is not made in rounds.
    basis : object
        The setting that public bases are taken from, for residual rounds, or for smoothing the
        labels of one round; None where there is neither.
    assumes : tuple of str
        What the guarantee needs beyond what the certificate assumes.
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
    shares: tuple[float, ...] = ()
    basis: Any = None
    assumes: tuple[str, ...] = ()

    @property
    def label_loss(self) -> PrivacyLoss | None:
        """The part of the price that the labels take."""
        if self.loss is None or not self.with_prior:
            return self.loss
        return self.loss.part(1 - PRIOR_SHARE)

    @property
    def prior_loss(self) -> PrivacyLoss | None:
        """The part of the price that the class counts take."""
        if self.loss is None or not self.with_prior:
            return None
        return self.loss.part(PRIOR_SHARE)

    @property
    def smoothed(self) -> bool:
        """Whether labels of one round are smoothed in a public basis, after their release."""
        return self.basis is not None and len(self.shares) < 2

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise on one label, at the end (public).

        For residual rounds and smoothed labels it is what the first round leaves in its basis of
        functions.
        """
        bound, noise = self.certificate, self.row_noise
        if noise == 0 or not isinstance(bound, DisjointTeachers) or self.basis is None:
            return noise
        mu = math.sqrt(self.n_rows) * bound.l2 / noise
        size = basis_size(bound.n_teachers, mu, None if self.classes is None else len(self.classes))
        return noise * math.sqrt(min(1.0, size / self.n_rows))

    @property
    def row_noise(self) -> float:
        """Standard deviation of the noise on one label, as drawn in the (first) round; public.

        For parameters it is the noise on a score, divided by 4: the steepest slope of the sigmoid.
        """
        loss, bound = self.label_loss, self.certificate
        if loss is None or self.mechanism in LABEL_ONLY:
            return 0.0
        if len(self.shares) > 1:
            loss = loss.part(self.shares[0])
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

    @property
    def middle(self) -> float:
        """The label that says nothing: of equal probabilities, or in the middle of the range."""
        if self.classes is not None:
            return 1 / len(self.classes)
        return 0.0 if self.output_range is None else sum(self.output_range) / 2

    def statement(self) -> PrivacyStatement:
        """Say what this release promises."""
        bound = self.certificate
        if isinstance(bound, AlreadyPrivate):
            return bound.statement(self.n_rows)
        if self.loss is not None:
            epsilon, delta, mu = self.loss.epsilon, self.loss.delta, self.loss.mu
        else:
            epsilon, delta, mu = math.inf, 0.0, None
        return PrivacyStatement(
            epsilon=epsilon,
            delta=delta,
            mu=mu,
            relation=bound.relation,
            unit=bound.unit,
            mechanism=self.mechanism + self._rounds_text(),
            certificate=bound.proof,
            n_queries=self.n_rows,
            assumes=(*bound.assumes, *self.assumes),
            not_protected=(*NOT_PROTECTED, *bound.not_protected),
            sampler=self.sampler.name if self.loss is not None else "no noise",
            private=self.loss is not None and self.sampler.private,
        )

    @property
    def summary(self) -> str:
        """One line for a ledger's history."""
        how = f"{self.mechanism}{self._rounds_text()}"
        return f"{how}; {self.n_rows} rows; {self.certificate.name}"

    def _rounds_text(self) -> str:
        rounds = len(self.shares)
        return f", {rounds} residual rounds" if rounds > 1 else ""

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
    n_rounds: int | str = "auto",
    basis: Any = None,
    assumes: tuple[str, ...] = (),
) -> ReleasePlan:
    """Choose the mechanism and calibrate the price. Touches no output of the teacher.

    Raises
    ------
    ValueError
        Where the settings contradict each other, with the one line that mends it.
    """
    with_prior = want_prior and classes is not None and certificate.class_counts is not None
    loss: PrivacyLoss | None = None
    shares: tuple[float, ...] = ()
    if isinstance(certificate, AlreadyPrivate):
        mechanism, with_prior = "post-processing", False
    elif math.isinf(epsilon):
        mechanism = "none"
    else:
        if mechanism == "auto":
            mechanism = _cheapest(certificate, n_rows, epsilon, delta)
        loss = _loss(mechanism, epsilon, delta)
        _check_temperature(certificate, classes, temperature)
        _check_votes(certificate, classes, mechanism, n_rounds)
        if isinstance(certificate, DisjointTeachers) and mechanism == "gaussian":
            n_classes = None if classes is None else len(classes)
            if n_rounds == "auto":
                rounds = automatic_rounds(certificate.n_teachers, loss.mu or 0.0, n_classes)
                n_rounds = 1 if basis is None else rounds
            shares = default_shares(n_rounds)
    averaged = isinstance(certificate, DisjointTeachers) and mechanism in ("gaussian", "laplace")
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
        shares=shares,
        basis=basis if averaged else None,
        assumes=assumes if loss is not None else (),
    )


def _loss(mechanism: str, epsilon: float, delta: float) -> PrivacyLoss:
    if mechanism == "laplace" or (mechanism == "noisy_max" and delta == 0):
        return PrivacyLoss.laplace(epsilon)
    return PrivacyLoss.gaussian(epsilon, delta)


def query_limit(
    certificate: Certificate,
    n_classes: int,
    *,
    epsilon: float,
    delta: float,
    mechanism: str,
) -> int | None:
    """Return how many rows a vote should be asked for, by a public rule; None for all.

    Votes on many rows are each so noisy that none is right; see
    :func:`skdistill.release.noisy_max.most_queries`.
    """
    if mechanism not in LABEL_ONLY or not isinstance(certificate, DisjointTeachers):
        return None
    loss = _loss(mechanism, epsilon, delta)
    confident = mechanism == "confident_max"
    return most_queries(certificate.n_teachers, n_classes, loss, confident)


def is_diameter(certificate: Certificate) -> bool:
    """Whether a row bound is the diameter of the simplex, which any map into it satisfies."""
    return isinstance(certificate, RowBound) and certificate.l2 >= math.sqrt(2) * (1 - 1e-12)


def _check_temperature(
    certificate: Certificate, classes: NDArray[Any] | None, temperature: float
) -> None:
    if temperature == 1 or classes is None or not isinstance(certificate, RowBound):
        return
    if isinstance(certificate, DisjointTeachers):  # each member's vote is tempered, then bounded
        return
    if not is_diameter(certificate):
        raise ValueError(
            f"temperature={temperature!r} with the certificate {certificate.name!r}: its bound "
            "holds for the teacher's own probabilities, and tempering can stretch a small change "
            "without limit. Use temperature=1."
        )


def _check_votes(
    certificate: Certificate, classes: NDArray[Any] | None, mechanism: str, n_rounds: int | str
) -> None:
    """Raise for what only many teachers can do."""
    many = isinstance(certificate, DisjointTeachers)
    if mechanism in LABEL_ONLY and not (many and classes is not None):
        raise ValueError(
            f"mechanism={mechanism!r} is a vote of many classifiers: it needs a TeacherEnsemble of "
            'classifiers as teacher. Use "gaussian", "laplace" or "auto".'
        )
    if n_rounds not in ("auto", 1) and not (many and mechanism == "gaussian"):
        raise ValueError(
            f"n_rounds={n_rounds!r}: residual rounds need a TeacherEnsemble as teacher and "
            'mechanism="gaussian" (with delta above 0). Leave n_rounds="auto".'
        )


def _cheapest(certificate: Certificate, n_rows: int, epsilon: float, delta: float) -> str:
    """Choose the mechanism with less noise: Laplace without δ or for very few rows, else Gaussian.

    Both standard deviations are public: √2·m·l1/ε against √m·l2/μ.
    """
    if delta == 0:
        return "laplace"
    if not isinstance(certificate, RowBound) or isinstance(certificate, DisjointTeachers):
        return "gaussian"
    laplace = math.sqrt(2) * PrivacyLoss.laplace(epsilon).scale(n_rows * certificate.l1)
    gaussian = PrivacyLoss.gaussian(epsilon, delta).scale(np.sqrt(n_rows) * certificate.l2)
    return "laplace" if laplace < gaussian else "gaussian"
