"""The warning of noise: one side from the noise a student feels, one from how labels can vary."""

import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import (
    ConfidentMax,
    NewtonClassifier,
    NoisyMax,
    PrivateDistiller,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
)
from skdistill.accounting import PrivacyLoss
from skdistill.certificates import AlreadyPrivate, DisjointTeachers, ParameterBall, RowBound
from skdistill.release.calibration import calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.noise import ExactSampler
from skdistill.release.signal import noise_table, noise_warning, spread_of_labels

TWO = np.array([0, 1])
MANY = TransferSet(np.zeros((5000, 1)), np.arange(5000), TWO)
WORST = RowBound(2.0, math.sqrt(2), name="worst case")


def warned(bound, setting="auto", epsilon=1.0, asked=MANY, delta=1e-6, prior=None):
    release = calibrate(bound, asked, epsilon, delta, setting)
    return noise_warning(release, None, epsilon, prior)


def test_the_warning_says_how_much_noise_and_what_helps():
    text = warned(WORST)
    assert "mostly noise: standard deviation" in text
    assert "0.5 for the signal" in text
    assert "skdistill.refit(teacher, X_private, y_private)" in text
    assert "a TeacherEnsemble" in text
    assert "max_queries" not in text  # √m more noise, and an average over m
    assert "max_queries" in warned(WORST, delta=0.0)  # m times the noise
    assert warned(WORST, epsilon=1e9) == ""
    few = DisjointTeachers(1.0, 0.5 * math.sqrt(2), n_teachers=2)
    assert "more teachers in the ensemble, a larger" in warned(few, ResidualRounds())
    assert 'basis="auto"' in warned(few, ResidualRounds(basis=None))
    loud = ParameterBall(
        50.0,
        lambda: np.zeros((1, 2)),
        lambda X: X,
        lambda scores: scores,
        feature_norm=1.0,
        shape=(1, 2),
    )
    text = warned(loud)
    assert "one record moves less" in text
    assert "max_queries" not in text
    assert "private records" not in text


def test_the_warning_names_the_step_that_learns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    teacher = make_pipeline(StandardScaler(), TeacherEnsemble(GaussianNB(), 10)).fit(X, y)
    release = PrivateDistiller(teacher).calibrate(X)
    assert "earlier steps that learn nothing" in noise_warning(release, teacher, 1.0)
    single = LogisticRegression().fit(X, y)
    release = PrivateDistiller(single).calibrate(X)
    assert "earlier steps" not in noise_warning(release, single, 1.0)


def test_a_private_teacher_that_spent_more_is_named():
    release = calibrate(AlreadyPrivate(3.0), MANY, 1.0, 1e-6)
    assert "already spent epsilon=3" in noise_warning(release, None, 1.0)
    assert noise_warning(release, None, 3.0) == ""


@pytest.mark.parametrize(
    ("classes", "prior", "spread"),
    [
        (2, None, 0.5),
        (2, [0.95, 0.05], 0.218),  # √(.05·.95)
        (10, None, 0.3),  # √(.1·.9)
        (2, [1.0, 0.0], 0.0),
        (2, [1.01, -0.01], 0.0),  # a noisy prior
        (2, [-1.0, -2.0], 0.5),
        (3, [0.5, 0.5, 0.0], math.sqrt(1 / 6)),
    ],
)
def test_labels_vary_as_the_classes_allow(classes, prior, spread):
    asked = TransferSet(None, np.arange(5), np.arange(classes))
    prior = None if prior is None else np.array(prior)
    assert spread_of_labels(asked, prior) == pytest.approx(spread, abs=1e-3)
    if prior is not None and (prior >= 0).all():  # labels that are sure, of these shares
        labels = np.eye(classes)[np.repeat(np.arange(classes), np.rint(prior * 2000).astype(int))]
        assert np.sqrt(labels.var(axis=0).mean()) == pytest.approx(spread, abs=1e-3)


def test_targets_vary_by_half_their_range():
    assert spread_of_labels(TransferSet(None, np.arange(5), None, (10, 50))) == 20


def test_noise_counts_as_a_linear_student_feels_it():
    """Against the spread of the predictions of least squares on labels that are noise alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 9))
    asked = TransferSet(X, np.arange(2000), TWO)
    for mechanism in SoftLabels(basis=None), SoftLabels():
        release = calibrate(WORST, asked, 50.0, 1e-6, mechanism)
        row = release.mechanism.row_noise(WORST, asked, release.label_loss)
        spreads = [
            Ridge(1e-9).fit(X, rng.normal(scale=row, size=2000)).predict(X).std() for _ in range(40)
        ]
        # ten weights, one of which is the mean, which no spread shows
        averaged = release.noise_averaged(10)
        assert averaged == pytest.approx(np.mean(spreads) * math.sqrt(10 / 9), rel=0.1)
        assert release.noise_averaged(math.inf) == release.noise_scale


@pytest.mark.parametrize("mechanism", [NoisyMax(), ConfidentMax()])
def test_the_warning_fires_for_votes_of_few_members(mechanism):
    """Of 20 members a student learns nothing at ε=1, of 20,000 nearly all."""
    X = np.random.default_rng(0).normal(size=(200, 4))
    few, many = (DisjointTeachers(2 / k, math.sqrt(2) / k, n_teachers=k) for k in (20, 20_000))
    asked = TransferSet(X, np.arange(200), TWO)
    noisy, clear = (calibrate(bound, asked, 1.0, 1e-6, mechanism) for bound in (few, many))
    text = noise_warning(noisy, None, 1.0)
    assert "mostly noise" in text and "more teachers in the ensemble" in text
    assert "basis" not in text  # these mechanisms have none
    assert noise_warning(clear, None, 1.0) == ""


@pytest.mark.parametrize("law", ["gaussian", "laplace"])
def test_noise_on_shares_of_votes(law):
    """Of noise as it is drawn: counts of zero teachers are nothing but noise."""
    loss = PrivacyLoss.gaussian(1.0, 1e-6) if law == "gaussian" else PrivacyLoss.laplace(1.0)
    m, k = 4000, 50
    asked, bound = (
        TransferSet(None, np.arange(m), TWO),
        DisjointTeachers(2 / k, 2 / k, n_teachers=k),
    )
    moved = 2.0 * m if law == "laplace" else math.sqrt(2 * m)
    noise = ExactSampler().perturb(np.zeros(20_000, dtype=np.int64), loss, moved * 2**10) / 2**10
    expected = NoisyMax().label_noise(bound, asked, loss)
    assert np.std(noise) / k == pytest.approx(expected, rel=0.1)


def test_the_warning_fires_for_an_ensemble_whose_student_is_at_chance(recwarn):
    """Five positives in a hundred; 60 members; the student's AUC is near .5 at ε=.5."""
    X, y = make_classification(8000, 15, weights=[0.95], flip_y=0.05, random_state=0)
    private, public = slice(0, 4800), slice(4800, None)
    teacher = TeacherEnsemble(GaussianNB(), 60, classes=[0, 1], random_state=0)
    teacher.fit(X[private], y[private])

    def auc(epsilon, labels=None):
        recwarn.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            distiller = PrivateDistiller(teacher, epsilon=epsilon).fit(X[public], labels)
        said = [str(each.message) for each in recwarn if "mostly noise" in str(each.message)]
        return roc_auc_score(y[public], distiller.predict_proba(X[public])[:, 1]), said

    scores = [auc(0.3)[0] for _ in range(4)]
    assert np.mean(scores) < 0.75
    ((text,),) = [auc(0.3)[1] for _ in range(1)]  # once, before the release or after it
    assert "classes of these shares" in text or "0.5 for the signal" in text
    ((text,),) = [auc(0.3, y[public])[1] for _ in range(1)]
    assert "classes of these shares" in text
    good, said = auc(8.0)
    assert good > 0.75
    assert said == []


def test_shares_of_public_labels_decide_before_the_charge():
    """The same release: half the labels, or one in a hundred."""
    X = np.random.default_rng(0).normal(size=(1000, 3))
    y = X[:, 0] > 0
    teacher = LogisticRegression().fit(X, y)
    distiller = PrivateDistiller(teacher, epsilon=150.0)
    left = distiller.calibrate(X).noise_averaged(4)
    assert 0.1 < left < 0.5
    rare = X[:, 0] > np.quantile(X[:, 0], 0.99)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "This teacher has answered before")
        distiller.fit(X, y)
        distiller.fit(X, np.array(["other"] * 1000) == "x")  # one class says nothing
        with pytest.raises(UserWarning, match=r"0\.099 for the signal, for classes of these"):
            distiller.fit(X, rare)


def test_released_shares_are_looked_at_after_the_release():
    X = np.random.default_rng(0).normal(size=(2000, 3))
    rare = (X[:, 0] > np.quantile(X[:, 0], 0.99)).astype(int)
    teacher = TeacherEnsemble(GaussianNB(), 20, classes=[0, 1]).fit(X, rare)
    distiller = PrivateDistiller(teacher, epsilon=1.5)
    assert 0.2 < distiller.calibrate(X).noise_averaged(4) < 0.5
    with pytest.warns(UserWarning, match="for classes of these shares"):
        distiller.fit(X)
    assert hasattr(distiller, "student_")


def numbers(table):
    """The numbers of the table, by the name of the line."""
    found = {}
    for line in table.splitlines()[1:]:
        name, *cells = re.split(r"\s{2,}", line.strip())
        found[name] = [float(cell.replace(",", "")) for cell in cells]
    return found


@pytest.mark.parametrize("delta", [0.0, 1e-6])
@pytest.mark.parametrize("classes", [TWO, np.arange(10), None], ids=["two", "ten", "regression"])
def test_the_table_is_what_the_teachers_would_have(classes, delta):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 5))
    output_range = None if classes is not None else (-5.0, 15.0)
    asked = TransferSet(X, np.arange(3000), classes, output_range)
    release = calibrate(WORST, asked, 1.0, delta)
    found = numbers(noise_table(release))
    assert list(found) == [
        "private records",
        "this one model",
        "skdistill.refit(...)",
        "Newton teacher",
    ]
    assert found["private records"] == [1_000, 10_000, 100_000]
    assert found["this one model"] == pytest.approx([release.noise_averaged(6)] * 3, rel=0.01)
    assert (np.diff(found["skdistill.refit(...)"]) < 0).all()
    assert (np.diff(found["Newton teacher"]) < 0).all()


@pytest.mark.parametrize("n", [1_000, 10_000])
def test_the_table_tells_the_truth_of_teachers_that_are_made(n):
    X, y = make_classification(n + 2000, 5, random_state=0)
    private, public = X[:n], X[n:]
    one = LogisticRegression().fit(private, y[:n])
    with pytest.warns(UserWarning, match="Newton teacher") as caught:
        PrivateDistiller(one, threshold=None).preview(public)
    found = numbers(str(caught[0].message).partition("\n")[2])
    place = found["private records"].index(n)
    shards = TeacherEnsemble(GaussianNB(), classes=[0, 1]).fit(private, y[:n])
    release = PrivateDistiller(shards, threshold=None).calibrate(public)
    assert found["skdistill.refit(...)"][place] == pytest.approx(
        release.noise_averaged(6), rel=0.06
    )
    newton = NewtonClassifier(classes=[0, 1]).fit(private, y[:n])
    release = PrivateDistiller(newton, threshold=None).calibrate(public)
    assert found["Newton teacher"][place] == pytest.approx(release.noise_scale, rel=0.06)


def test_rows_that_are_no_numbers_have_no_gradient_rounds():
    frame = pd.DataFrame({"a": ["x", "y"] * 500, "b": 1.0})
    release = calibrate(WORST, TransferSet(frame, np.arange(1000), TWO), 1.0, 1e-6)
    assert list(numbers(noise_table(release))) == [
        "private records",
        "this one model",
        "skdistill.refit(...)",
    ]
    texts = TransferSet(["a text"] * 1000, np.arange(1000), TWO)
    release = calibrate(WORST, texts, 1.0, 1e-6)
    assert numbers(noise_table(release))["this one model"][0] == pytest.approx(
        release.noise_scale, rel=0.01
    )
    rows = TransferSet([[1.0, 2.0]] * 1000, np.arange(1000), TWO)
    release = calibrate(WORST, rows, 1.0, 1e-6)
    assert numbers(noise_table(release))["this one model"][0] == pytest.approx(
        release.noise_averaged(3), rel=0.01
    )


def test_preview_warns_as_fit_does_and_asks_nothing():
    X, y = make_classification(400, 5, random_state=0)
    teacher = LogisticRegression().fit(X, y)
    said = []
    for method in "preview", "fit":
        with pytest.warns(UserWarning, match="mostly noise") as caught:
            getattr(PrivateDistiller(teacher), method)(X)
        assert caught[0].filename == __file__
        said.append(str(caught[0].message))
    assert said[0] == said[1]
