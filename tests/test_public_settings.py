"""An error after a charge is possible only where private data decide it.

Every constructor parameter of every public estimator that charges, every parameter of its
mechanism and teacher, and every argument of its fit is given values of wrong types and out of
range. Whatever raises has to raise while the ledger is empty; nothing may be
asked for a public value after it.
"""

import inspect

import numpy as np
import pandas as pd
import pytest
from matrices import some
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import LinearSVC

from skdistill import (
    ConfidentMax,
    GradientRounds,
    NewtonClassifier,
    NewtonRegressor,
    NoisyMax,
    Parameters,
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
    PrivateRegressor,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
    learn_bounds,
    refit,
)
from skdistill.private_table import base
from skdistill.transfer import MarginalSampler

pytestmark = pytest.mark.filterwarnings("ignore")

N = 80
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (N, 2))
Y = (X[:, 0] > 0).astype(int)
PUBLIC = RNG.uniform(-1, 1, (40, 2))


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Draw few synthetic rows; noise of a large scale takes its time."""
    monkeypatch.setattr(base, "_N_ROWS", 300)


class Strange:
    """An object that nothing knows; it cannot be compared, shown or counted."""

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = None


# Values of every kind, most of which no parameter takes.
VALUES = {
    "none": None,
    "true": True,
    "text": "gaussian",
    "empty text": "",
    "minus one": -1,
    "zero": 0,
    "half": 0.5,
    "two": 2,
    "ten": 10.0,
    "large": 10**30,
    "tiny": 1e-310,
    "small": 1e-7,
    "nan": float("nan"),
    "infinite": float("inf"),
    "numpy": np.float32(0.25),
    "complex": 1j,
    "tuple": (0, 1),
    "falling": (1, 0),
    "empty": [],
    "one": [1],
    "three": [0, 1, 2],
    "mixed": [0, "a", None],
    "nested": [[0, 1], [1]],
    "array": np.array([0.5, 2.0]),
    "frame": pd.DataFrame({"a": [1.0, 2.0]}),
    "mapping": {"a": 1},
    "type": float,
    "class": LogisticRegression,
    "classifier": LogisticRegression(C=-1),
    "regressor": Ridge(),
    "clusters": KMeans(2),
    "pipeline": make_pipeline(FunctionTransformer(np.log), LinearSVC()),
    "function": len,
    "object": object(),
    "strange": Strange(),
}

MECHANISMS = {
    "gradients": (GradientRounds, "newton"),
    "rounds": (ResidualRounds, "ensemble"),
    "labels": (SoftLabels, "any"),
    "noisy max": (NoisyMax, "ensemble"),
    "confident max": (ConfidentMax, "ensemble"),
    "parameters": (Parameters, "any"),
}


def between(X):
    if np.abs(X).max() > 1:
        raise ValueError("only -1 to 1")
    return X


def classifier(**settings):
    return PrivateClassifier(**{"schema": (-1, 1), "classes": [0, 1], "epsilon": 5.0, **settings})


def regressor(**settings):
    return PrivateRegressor(
        **{"schema": (-1, 1), "output_range": (-1, 1), "epsilon": 5.0, **settings}
    )


def ensemble(member=None, **settings):
    return TeacherEnsemble(member or GaussianNB(), **{"n_teachers": 4, **settings})


TEACHERS = {
    "newton": lambda **s: NewtonClassifier(**s).fit(X, Y),
    "newton for numbers": lambda **s: NewtonRegressor(**{"output_range": (-1, 1), **s}).fit(
        X, X[:, 0]
    ),
    "ensemble": lambda **s: ensemble(**s).fit(X, Y),
    "ensemble of regressions": lambda **s: ensemble(Ridge(), **s).fit(X, X[:, 0]),
    "any": lambda **s: LogisticRegression(**s).fit(X, Y),
    "refitted": lambda **s: refit(LogisticRegression().fit(X, Y), X, Y, **s),
    "neighbours": lambda **s: KNeighborsClassifier(**s).fit(X, Y),
}


def distilled(kind):
    def fit(ledger, **settings):
        range_ = {"output_range": (-1, 1)} if kind.endswith(("numbers", "regressions")) else {}
        settings = {"epsilon": 5.0, "accountant": ledger, **range_, **settings}
        return PrivateDistiller(TEACHERS[kind](), **settings).fit(PUBLIC)

    return fit


def taught(kind):
    """A distiller of a teacher with such settings."""

    def fit(ledger, **settings):
        teacher = TEACHERS[kind](**settings)
        range_ = {"output_range": (-1, 1)} if kind.endswith(("numbers", "regressions")) else {}
        return PrivateDistiller(teacher, epsilon=5.0, accountant=ledger, **range_).fit(PUBLIC)

    return fit


def of_mechanism(name):
    made, kind = MECHANISMS[name]

    def fit(ledger, **settings):
        return distilled(kind)(ledger, mechanism=made(**settings))

    return fit


def parameters(function, *more):
    found = inspect.signature(function).parameters.values()
    names = [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [name for name in (*names, *more) if name not in ("self", "accountant")]


# For every way to charge: the names of its settings, and the call.
WAYS = {
    "PrivateClassifier": (
        parameters(PrivateClassifier),
        lambda ledger, **s: classifier(accountant=ledger, **s).fit(X, Y),
    ),
    "PrivateClassifier of an ensemble": (
        parameters(PrivateClassifier),
        lambda ledger, **s: classifier(**{"teacher": ensemble(), "accountant": ledger, **s}).fit(
            X, Y
        ),
    ),
    "PrivateClassifier with public rows": (
        parameters(PrivateClassifier),
        lambda ledger, **s: classifier(accountant=ledger, **s).fit(X, Y, X_public=PUBLIC),
    ),
    "PrivateRegressor": (
        parameters(PrivateRegressor),
        lambda ledger, **s: regressor(accountant=ledger, **s).fit(X, X[:, 0]),
    ),
    "PrivateRegressor of an ensemble": (
        parameters(PrivateRegressor),
        lambda ledger, **s: regressor(
            **{"teacher": ensemble(Ridge()), "accountant": ledger, **s}
        ).fit(X, X[:, 0]),
    ),
    "fit of a table": (
        parameters(PrivateClassifier.fit),
        lambda ledger, **s: classifier(accountant=ledger).fit(**{"X": X, "y": Y, **s}),
    ),
    "fit of a table with numbers": (
        parameters(PrivateRegressor.fit),
        lambda ledger, **s: regressor(accountant=ledger).fit(**{"X": X, "y": X[:, 0], **s}),
    ),
    "members of a table": (
        parameters(TeacherEnsemble),
        lambda ledger, **s: classifier(
            teacher=ensemble(s.pop("estimator", None), **s), accountant=ledger
        ).fit(X, Y),
    ),
    "gradients of a table": (
        parameters(NewtonClassifier),
        lambda ledger, **s: classifier(teacher=NewtonClassifier(**s), accountant=ledger).fit(X, Y),
    ),
    "sampler": (
        parameters(MarginalSampler),
        lambda ledger, **s: MarginalSampler(
            **{"schema": (-1, 1), "epsilon": 5.0, "accountant": ledger, **s}
        ).fit(X),
    ),
    "fit of a sampler": (
        parameters(MarginalSampler.fit),
        lambda ledger, **s: MarginalSampler((-1, 1), epsilon=5.0, accountant=ledger).fit(
            **{"X": X, **s}
        ),
    ),
    "bounds": (
        parameters(learn_bounds),
        lambda ledger, **s: learn_bounds(
            **{"schema": float, "X": X, "epsilon": 5.0, "accountant": ledger, **s}
        ),
    ),
    **{
        f"distiller of {kind}": (parameters(PrivateDistiller), distilled(kind)) for kind in TEACHERS
    },
    **{
        f"fit of a distiller of {kind}": (
            parameters(PrivateDistiller.fit, "sample_weight"),
            lambda ledger, kind=kind, **s: PrivateDistiller(
                TEACHERS[kind](), LogisticRegression(), epsilon=5.0, accountant=ledger
            ).fit(**{"X": PUBLIC, **s}),
        )
        for kind in ("newton", "ensemble", "any")
    },
    **{
        f"release of {kind}": (
            parameters(PrivateDistiller.release),
            lambda ledger, kind=kind, **s: PrivateDistiller(
                TEACHERS[kind](), epsilon=5.0, accountant=ledger
            ).release(**{"X": PUBLIC, **s}),
        )
        for kind in ("newton", "ensemble", "any")
    },
    "teacher newton": (parameters(NewtonClassifier), taught("newton")),
    "teacher newton for numbers": (parameters(NewtonRegressor), taught("newton for numbers")),
    "teacher ensemble": (parameters(TeacherEnsemble)[1:], taught("ensemble")),
    "refit": (parameters(refit)[3:], taught("refitted")),
    **{
        f"mechanism {name}": (parameters(made), of_mechanism(name))
        for name, (made, _) in MECHANISMS.items()
    },
}
WALKED = [(way, name) for way, (names, _) in WAYS.items() for name in names]


class Purse(list):
    """An accountant that lets everything pass. (A ledger tries a release before it charges.)"""

    def spend(self, epsilon, delta):
        self.append((epsilon, delta))


def charged(way, **settings):
    """The text of an exception after a charge, None where there is none."""
    ledger = Purse()
    try:
        WAYS[way][1](ledger, **settings)
    except Exception as error:
        return f"{type(error).__name__}: {error}" if len(ledger) else None
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("way", "name"), WALKED, ids=[" ".join(pair) for pair in WALKED])
def test_no_value_of_a_setting_fails_after_the_charge(way, name):
    for label, value in VALUES.items():
        assert charged(way, **{name: value}) is None, label


def test_a_few_values_of_every_setting_do_not_fail_after_the_charge():
    """One value of each setting, another one for each; the slow test tries all."""
    labels = list(VALUES)
    for i, (way, name) in enumerate(WALKED):
        label = labels[(7 * i) % len(labels)]
        assert charged(way, **{name: VALUES[label]}) is None, (way, name, label)


# Faults that a walk through single values does not meet.
TOGETHER = {
    "a threshold for three classes": (classifier, {"classes": [0, 1, 2], "threshold": 0.3}),
    "f1 for three classes": (classifier, {"classes": [0, 1, 2], "threshold": "f1"}),
    "f1 of an ensemble": (classifier, {"teacher": ensemble(), "threshold": "f1"}),
    "f1 of a student": (classifier, {"student": LogisticRegression(), "threshold": "f1"}),
    "a threshold of margins": (classifier, {"student": LinearSVC(), "threshold": 0.3}),
    "gaussian without delta": (classifier, {"mechanism": "gaussian", "delta": 0}),
    "votes without delta": (
        classifier,
        {"teacher": ensemble(), "mechanism": ConfidentMax(), "delta": 0},
    ),
    "rounds without delta": (
        classifier,
        {"teacher": ensemble(), "mechanism": ResidualRounds(n_rounds=2), "delta": 0},
    ),
    "gaussian rounds without delta": (
        classifier,
        {"teacher": ensemble(), "mechanism": ResidualRounds(noise="gaussian"), "delta": 0},
    ),
    "votes of gradients": (classifier, {"mechanism": "noisy_max"}),
    "gradients of an ensemble": (
        classifier,
        {"teacher": ensemble(), "mechanism": GradientRounds()},
    ),
    "a regression in place of classes": (classifier, {"teacher": ensemble(Ridge())}),
    "classes in place of a regression": (regressor, {"teacher": ensemble()}),
    "a student of the other kind": (regressor, {"student": LogisticRegression()}),
    "a member that cannot be": (classifier, {"teacher": ensemble(LogisticRegression(C=-1))}),
    "a student that cannot be": (classifier, {"student": LogisticRegression(C=-1)}),
    "private bounds and one range": (
        classifier,
        {
            "schema": float,
            "teacher": ensemble(
                make_pipeline(OneHotEncoder(categories=[[-1, 0, 1]] * 2), LogisticRegression())
            ),
        },
    ),
    "private whole numbers": (
        classifier,
        {
            "schema": int,
            "teacher": ensemble(make_pipeline(FunctionTransformer(between), GaussianNB())),
        },
    ),
    **{
        f"epsilon={epsilon:g}, delta={delta:g}, {name}": (
            made,
            {"epsilon": epsilon, "delta": delta, **more},
        )
        for epsilon in (1e-5, 1e-6, 1e-9, 1e-14, 1e-30)
        for delta in (0, 1e-12)
        for name, made, more in (
            ("gradients", classifier, {}),
            ("bounds", classifier, {"schema": float}),
            ("numbers", regressor, {}),
            ("ensemble", classifier, {"teacher": ensemble()}),
        )
    },
}


@pytest.mark.parametrize("name", TOGETHER)
def test_no_settings_together_fail_after_the_charge(name):
    made, settings = TOGETHER[name]
    ledger = Purse()
    model = made(**{"accountant": ledger, **settings})
    try:
        model.fit(X, Y if made is classifier else X[:, 0])
    except (TypeError, ValueError):
        assert len(ledger) == 0
    else:
        assert "epsilon" in name


SMALL_ROWS = PUBLIC * np.logspace(-200, 0, len(PUBLIC))[:, None]


@pytest.mark.parametrize(
    ("way", "more"),
    [
        *((way, {}) for way in WAYS if " of " not in way or "table" in way),
        *((way, {"delta": 0}) for way, (names, _) in WAYS.items() if "delta" in names),
        *((f"fit of a distiller of {kind}", {"X": SMALL_ROWS}) for kind in ("newton", "any")),
        ("fit of a distiller of ensemble", {"X": SMALL_ROWS}),
    ],
)
def test_the_users_error_state_raises_nothing_after_the_charge(way, more):
    """Private cells, and public ones, may be so large or small that NumPy warns."""
    with np.errstate(all="raise"):
        assert charged(way, **more) is None


MANY = np.repeat(PUBLIC, 10, axis=0)
ROWS, COLUMNS = {"X": MANY, "max_queries": 400}, {"X": np.repeat(X, 20, axis=1)}


@pytest.mark.parametrize(
    ("fit", "more"),
    [
        (learn_bounds, {"schema": float}),
        (lambda X, **s: MarginalSampler((-1, 1), **s).fit(X), {}),
        (
            lambda X, **s: classifier(teacher=ensemble(), **s).fit(X, Y),
            {"mechanism": NoisyMax(), **COLUMNS},
        ),
        (
            lambda X, **s: PrivateDistiller(TEACHERS["ensemble"](), **s).fit(X),
            {"mechanism": NoisyMax(), "X": PUBLIC[:5]},
        ),
        (
            lambda X, **s: PrivateDistiller(TEACHERS["ensemble"](), **s).fit(X),
            {"mechanism": NoisyMax(), **ROWS},
        ),
        (
            lambda X, **s: PrivateDistiller(TEACHERS["ensemble"](), **s).fit(X),
            {"mechanism": ConfidentMax(max_answers=1), "delta": 1e-15, **ROWS},
        ),
    ],
    ids=["bounds", "sampler", "table", "class counts", "votes", "tests of votes"],
)
@pytest.mark.parametrize("size", some(range(-16, -10), 2))
def test_noise_that_cannot_be_drawn_is_refused_before_the_charge(fit, more, size, monkeypatch):
    monkeypatch.setattr(base, "_N_ROWS", 20)  # so that counts have more noise than votes
    for scale in (1, 2, 5):
        ledger = Purse()
        settings = {"X": X, "delta": 0, "epsilon": scale * 10.0**size, **more}
        try:
            fit(**settings, accountant=ledger)
        except ValueError as error:
            assert "noise scale" in str(error) or "epsilon" in str(error)
            assert len(ledger) == 0


def test_huge_public_rows_fail_no_gradient_round():
    rows = PUBLIC.copy()
    rows[3] = 1e200
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-3)
    for public in (rows, sparse.csr_matrix(rows)):
        found = PrivateDistiller(TEACHERS["newton"](), accountant=ledger).fit(public)
        assert np.isfinite(found.predict_proba(PUBLIC)).all()


def test_counts_that_cannot_be_drawn_are_refused_before_the_charge():
    """Votes of few members are drawn at a price at which the counts of the classes are not."""
    rows, ledger = np.repeat(X, 4, axis=0), Purse()
    teacher = ensemble(n_teachers=5).fit(rows, np.repeat(Y, 4))
    asked = PrivateDistiller(
        teacher, mechanism=NoisyMax(), epsilon=1e-14, delta=0, threshold="prior", accountant=ledger
    )
    with pytest.raises(ValueError, match="noise scale"):
        asked.fit(rows[:200])
    assert len(ledger) == 0
