"""From a bound to a release: its mechanism, its price, its noise, and the draw.

Everything before :meth:`Release.draw` is decided from public quantities. `draw` charges the price,
runs the mechanism and returns labels; everything computed from them is post-processing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from skdistill.accounting.charging import charge, counted_by, replays, warn_uncounted
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.class_counts import class_counts, counts_query, mean_label
from skdistill.release.gradients import GradientRounds
from skdistill.release.mechanism import WHOLE, Labels, Mechanism, TransferSet
from skdistill.release.noise import Sampler, active_sampler
from skdistill.release.parameters import Parameters
from skdistill.release.query import Queries, answer, at_share, part_of
from skdistill.release.replay.store import charge_dry_run, replayed
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.release.soft_labels import SoftLabels, Unprotected
from skdistill.release.votes import ConfidentMax, NoisyMax
from skdistill.statement import NOT_PROTECTED, PrivacyStatement

#: Part of μ² (or, without δ, of ε) that buys the class prior, where a teacher keeps class counts.
PRIOR_SHARE = Fraction(1, 50)

# The one table: from the kind of a certificate to its mechanism.
_BY_KIND: dict[str, type[Mechanism]] = {
    "rows": SoftLabels,
    "members": ResidualRounds,
    "parameters": Parameters,
    "gradients": GradientRounds,
    "private": Unprotected,
    "none": Unprotected,
}
# Short forms of mechanisms that are never the default.
_BY_NAME: dict[str, type[Mechanism]] = {each.title: each for each in (NoisyMax, ConfidentMax)}
_LAWS = ("auto", "gaussian", "laplace")


def check_mechanism(setting: Any) -> None:
    """Raise unless `setting` names a mechanism, or is one with valid settings."""
    if isinstance(setting, Mechanism):
        setting.check()
    elif isinstance(setting, type) and issubclass(setting, Mechanism):
        raise TypeError(
            f"mechanism={setting.__name__} is a class; pass an object: {setting.__name__}()."
        )
    elif not isinstance(setting, str) or setting not in (*_LAWS, *_BY_NAME):
        names = ", ".join(map(repr, (*_LAWS, *_BY_NAME)))
        raise ValueError(
            f"mechanism={setting!r} is unknown. Use one of {names}, or an object such as "
            "ResidualRounds(n_rounds=2)."
        )


def choose_mechanism(setting: Any, bound: Any) -> Mechanism:
    """Return the mechanism that a setting means for a certificate; raise if it does not fit."""
    default = _BY_KIND[bound.kind]
    if default is Unprotected:
        return Unprotected(getattr(setting, "temperature", 1.0))
    if isinstance(setting, str):
        mechanism = default(noise=setting) if setting in _LAWS else _BY_NAME[setting]()
    else:
        mechanism = clone(setting)
    if mechanism.kind == bound.kind:
        return mechanism
    needs = {
        "members": "a TeacherEnsemble: many teachers on disjoint shards",
        "parameters": "a teacher whose parameters are bounded",
        "gradients": "a NewtonClassifier or NewtonRegressor",
        "rows": "a teacher whose rows are bounded, which is not an ensemble",
    }
    name = mechanism.title or type(mechanism).__name__
    raise ValueError(
        f"mechanism={name!r} needs {needs.get(mechanism.kind, mechanism.kind)}; the certificate "
        f'of this teacher is {bound.name!r}. Use mechanism="auto", or '
        f"{_BY_KIND[bound.kind].__name__}(...)."
    )


@dataclass(frozen=True, eq=False)
class Release:
    """One release of labels: its rows, its noise and its price.

    Parameters
    ----------
    bound, asked, mechanism : Certificate, TransferSet, Mechanism
        How far one unit moves the teacher, the rows to label, and how answers are protected.
    loss : PrivacyLoss or None
        The price of the whole release; None where it is free.
    with_prior : bool
        Whether class counts are released too.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.certificates import RowBound
    >>> from skdistill.release.calibration import calibrate
    >>> from skdistill.release.mechanism import TransferSet
    >>> bound = RowBound(0.02, 0.015, name="my proof", reason="Lemma 3 of our report.")
    >>> asked = TransferSet(np.zeros((100, 2)), np.arange(100), np.array(["no", "yes"]))
    >>> release = calibrate(bound, asked, epsilon=1.0, delta=1e-6)
    >>> release.summary
    'gaussian; 100 rows; my proof'
    >>> release.statement().epsilon
    1.0
    """

    bound: Any
    asked: TransferSet
    mechanism: Mechanism
    loss: PrivacyLoss | None
    with_prior: bool = False

    @property
    def sampler(self) -> Sampler:
        """Where the noise comes from."""
        return active_sampler(self.mechanism.sampler)

    @property
    def label_share(self) -> Fraction:
        """The part of the price that the labels take."""
        return 1 - PRIOR_SHARE if self.with_prior else WHOLE

    @property
    def label_loss(self) -> PrivacyLoss | None:
        """The price of the labels."""
        return part_of(self.loss, self.label_share)

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise on one label, at the end; public."""
        loss = self.label_loss
        return 0.0 if loss is None else self.mechanism.label_noise(self.bound, self.asked, loss)

    def noise_averaged(self, n_directions: float) -> float:
        """Return the noise on a prediction of a linear student of so many weights; public.

        Parameters
        ----------
        n_directions : float
            Number of weights that the student learns. Independent noise of m rows is averaged: its
            variance falls by the factor n_directions/m.

        Returns
        -------
        noise : float
            Standard deviation, in the unit of a label.
        """
        loss = self.label_loss
        row = None if loss is None else self.mechanism.row_noise(self.bound, self.asked, loss)
        if row is None:
            return self.noise_scale
        averaged = row * math.sqrt(min(1.0, n_directions / self.asked.n_rows))
        return min(self.noise_scale, averaged)

    @property
    def is_progressive(self) -> bool:
        """Whether a ledger can answer row by row: each part makes one RowQuery."""
        assert self.label_loss is not None
        return self.mechanism.is_progressive(self.bound, self.asked, self.label_loss)

    def draw(self, teacher: Any, accountant: Any = None) -> Labels:
        """Charge the price, then ask the teacher and release its noisy answers.

        Parameters
        ----------
        teacher : estimator
            Fitted; private.
        accountant : PrivacyLedger, BudgetAccountant or None
            A ledger is charged for the rows that it does not hold yet.

        Returns
        -------
        labels : Labels
            Noisy labels; public.

        Raises
        ------
        BudgetError, TeacherError
            Of diffprivlib where the budget does not suffice, and nothing was asked; or, after the
            charge, where the teacher raised.
        """
        prepared = self.prepare()
        if self.loss is not None and replays(accountant):
            return replayed(self, teacher, accountant, prepared)
        if accountant is None and self.loss is not None:
            warn_uncounted(teacher)
        charge(accountant, self.loss, self.summary)
        return answer(self.queries(teacher, prepared), self.loss, self.sampler)

    def charge_dry_run(self, teacher: Any, ledger: Any) -> None:
        """Charge a ledger for the release and let it remember the rows; no teacher is asked.

        Parameters
        ----------
        teacher : estimator
            Fitted; it is identified and not asked.
        ledger : object
            With the methods of a :class:`~skdistill.PrivacyLedger`.
        """
        charge_dry_run(self, teacher, ledger)

    def prepare(self) -> Any:
        """Compute public values before the charge; error messages may quote them.

        Returns
        -------
        prepared : object
            For :meth:`queries`.
        """
        loss = self.label_loss
        return None if loss is None else self.mechanism.prepare(self.bound, self.asked, loss)

    def queries(self, teacher: Any, prepared: Any = None) -> Queries[Labels]:
        """Join the queries of the class counts and of the labels under one price.

        Parameters
        ----------
        teacher : estimator or None
            Fitted; private. None in a dry run, which never gets as far as asking it.
        prepared : object, default=None
            The result of :meth:`prepare`.

        Returns
        -------
        labels : Labels
            Labels of the rows, with the class prior.

        Yields
        ------
        query : Query or RowQuery
            It is sent its noisy answer.
        """
        prior = None
        if self.with_prior:
            assert self.loss is not None and self.asked.classes is not None
            price = self.loss.part(PRIOR_SHARE)
            counted = class_counts(self.bound.class_counts, self.asked.classes, price)
            prior = yield from at_share(counted, PRIOR_SHARE)
        loss: Any = self.label_loss
        labels = self.mechanism.queries(self.bound, self.asked, loss, teacher, prepared)
        found = yield from at_share(labels, self.label_share)
        if prior is None and found.prior is None and self.asked.classes is not None:
            prior = mean_label(found.values[found.answered], found.noise_scale)
        return found if prior is None else replace(found, prior=prior)

    @property
    def title(self) -> str:
        """The mechanism, in words."""
        if self.loss is None:
            return "post-processing" if self.bound.kind == "private" else "none"
        assert self.label_loss is not None
        return self.mechanism.text(self.bound, self.asked, self.label_loss)

    @property
    def summary(self) -> str:
        """One line for a ledger's history."""
        return f"{self.title}; {self.asked.n_rows} rows; {self.bound.name}"

    def statement(self, assumes: tuple[str, ...] = (), accountant: Any = None) -> PrivacyStatement:
        """Return the statement of this release.

        Parameters
        ----------
        assumes : tuple of str, default=()
            Assumptions beside those of the certificate.
        accountant : PrivacyLedger, BudgetAccountant or None, default=None
            The one that is charged, whose cap is quoted. None: other fits are not counted.

        Returns
        -------
        statement : PrivacyStatement
            Of this release.
        """
        bound, loss = self.bound, self.loss
        if loss is None and bound.kind == "private":
            return bound.statement(self.asked.n_rows)
        return PrivacyStatement(
            epsilon=math.inf if loss is None else loss.epsilon,
            delta=0.0 if loss is None else loss.delta,
            mu=None if loss is None else loss.mu,
            relation=bound.relation,
            unit=bound.unit,
            mechanism=self.title,
            certificate=bound.proof,
            n_queries=self.asked.n_rows,
            assumes=(*bound.assumes, *assumes),
            not_protected=(*NOT_PROTECTED, *bound.not_protected),
            sampler="no noise" if loss is None else self.sampler.name,
            private=loss is not None and self.sampler.private,
            **counted_by(None if loss is None else accountant),
        )


def calibrate(
    bound: Any,
    asked: TransferSet,
    epsilon: float = math.inf,
    delta: float = 0.0,
    mechanism: Any = "auto",
    *,
    with_prior: bool = True,
    loss: PrivacyLoss | None = None,
) -> Release:
    """Choose the mechanism and its price. Touches no output of the teacher.

    Parameters
    ----------
    bound, asked : Certificate, TransferSet
        Of the teacher; the public rows that are asked about.
    epsilon, delta : float
        The price of the whole release; an infinite `epsilon` is no noise.
    mechanism : str or Mechanism, default="auto"
        As in :class:`~skdistill.PrivateDistiller`.
    with_prior : bool, default=True
        Whether class counts are released, where the teacher keeps them.
    loss : PrivacyLoss, optional
        The price, where it is part of another one.

    Returns
    -------
    release : Release
        Calibrated, and not drawn: nothing is charged yet.

    Raises
    ------
    ValueError
        Where the settings contradict each other, with the one line that mends it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.certificates import RowBound
    >>> from skdistill.release.calibration import calibrate
    >>> from skdistill.release.mechanism import TransferSet
    >>> bound = RowBound(0.02, 0.015, name="my proof", reason="Lemma 3 of our report.")
    >>> asked = TransferSet(np.zeros((100, 2)), np.arange(100), np.array(["no", "yes"]))
    >>> release = calibrate(bound, asked, epsilon=1.0, delta=1e-6)
    >>> release.loss.kind, round(release.loss.mu, 4)
    ('gaussian', 0.2367)
    """
    chosen = choose_mechanism(mechanism, bound)
    if isinstance(chosen, Unprotected) or (loss is None and math.isinf(epsilon)):
        return Release(bound, asked, Unprotected(getattr(chosen, "temperature", 1.0)), None)
    chosen.suit(bound, asked)
    if loss is None:
        loss = replace(chosen.price(bound, asked, epsilon, delta), unit=bound.unit)
    counted = False
    if with_prior and asked.classes is not None and bound.class_counts is not None:
        counted = True
        counts = counts_query(bound.class_counts, asked.classes)
        counts.noise_scale(loss.part(PRIOR_SHARE))  # raises where it is too large to be drawn
    chosen.accept(bound, asked, loss.part(1 - PRIOR_SHARE) if counted else loss)
    return Release(bound, asked, chosen, loss, counted)


def choose_queries(n_rows: int, distiller: Any, bound: Any, classes: Any) -> NDArray[np.intp]:
    """Return the sorted numbers of the rows to label: all, or at random as many as there may be.

    With an accountant and without a `random_state` they are the same in every fit of as many rows,
    so that a ledger replays their labels.
    """
    limit, rows = distiller.max_queries, np.arange(n_rows)
    if limit is None and classes is not None and not math.isinf(distiller.epsilon):
        chosen = choose_mechanism(distiller.mechanism, bound)
        if not isinstance(chosen, Unprotected):
            price = distiller.epsilon, distiller.delta
            loss = chosen.price(bound, TransferSet(None, rows, classes), *price)
            limit = chosen.most_rows(bound, len(classes), loss)
    if limit is None or limit >= n_rows:
        return rows
    return np.sort(check_random_state(row_seed(distiller)).permutation(n_rows)[:limit])


def row_seed(distiller: Any) -> Any:
    """Return the random state that chooses the rows of a distiller."""
    fixed = distiller.random_state is None and distiller.accountant is not None
    return 0 if fixed else distiller.random_state
