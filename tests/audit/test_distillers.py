"""Audits of whole distillers: findings, price, and side effects."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from bounded_means import BoundedMeans
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import NewtonClassifier, NewtonRegressor, PrivateDistiller, TeacherEnsemble
from skdistill.accounting import BudgetAccountant
from skdistill.accounting.relation import as_replace_one
from skdistill.audit import AuditResult, Canaries, OneRunAudit, audit_distiller
from skdistill.audit import distillers as module
from skdistill.certificates import AlreadyPrivate, RowBound, certify
from skdistill.release.boundary import TeacherError

INF = float("inf")
RNG = np.random.default_rng(0)  # public features and labels; no test depends on the seed
X, X_PUBLIC = RNG.normal(size=(200, 3)), RNG.normal(size=(300, 3))
Y = np.where(X[:, 0] > 0, "yes", "no")
TREE = DecisionTreeClassifier()


def audit(teacher=TREE, n=100, *, X=X, y=Y, public=X_PUBLIC, distiller=None, **options):
    settings = {"epsilon": INF, **(distiller or {})}
    return audit_distiller(PrivateDistiller(teacher, **settings), X, y, public, n, **options)


# ----------------------------------------------------------------------------------- findings


@pytest.mark.parametrize("kind", ["mislabelled", "outlier", "duplicated"])
@pytest.mark.parametrize(
    "teacher",
    [
        TREE,
        KNeighborsClassifier(1),
        make_pipeline(FunctionTransformer(), TREE),
        FrozenEstimator(TREE),
    ],
    ids=["tree", "neighbour", "pipeline", "frozen"],
)
def test_a_teacher_that_learns_by_heart_gives_all_away(teacher, kind):
    result = audit(teacher, canaries=kind, guesses=100)
    assert (result.n_correct, result.n_guesses, result.n_canaries) == (100, 100, 100)
    # Five copies are five records: the bound is for one of them.
    expected = 0.69 if kind == "duplicated" else 3.49
    assert result.epsilon_lower_bound == pytest.approx(expected, abs=0.01)
    assert result.canaries == kind


@pytest.mark.parametrize("kind", ["mislabelled", "outlier", "duplicated"])
def test_a_regressor_that_learns_by_heart(kind):
    result = audit(
        DecisionTreeRegressor(),
        y=X[:, 0],
        distiller={"output_range": (-1.0, 1.0), "student": Ridge()},
        canaries=kind,
        guesses=100,
    )
    assert result.n_correct == 100


@pytest.mark.parametrize("steps", [[], [FunctionTransformer()]], ids=["alone", "pipeline"])
def test_the_output_range_of_the_teacher(steps):
    teacher = make_pipeline(*steps, NewtonRegressor(output_range=(-9, 9)))
    result = audit(teacher, y=X[:, 0], distiller={"epsilon": 1.0}, guesses=100)
    assert result.statement.private and result.n_guesses == 100


def test_a_student_that_learns_by_heart():
    result = audit(view="student", distiller={"student": TREE, "threshold": None}, guesses=100)
    assert result.n_correct == 100
    assert result.view == "student"


@pytest.mark.parametrize("student", [LogisticRegression(), SVC(), None])
@pytest.mark.parametrize("kind", ["mislabelled", "outlier"])
def test_every_student_can_be_attacked(student, kind):
    """A smooth student on rows it has not seen gives away next to nothing."""
    result = audit(
        view="student",
        canaries=kind,
        distiller={"student": student},
        n=60,
        guesses=60,
    )
    assert 0 <= result.n_correct <= 60
    assert result.statement.n_queries == {"mislabelled": 300, "outlier": 360}[kind]


@pytest.mark.parametrize("wrong", [{"first": 1}, {"first": 0}])
def test_the_sign_of_the_guess(wrong):
    """Labels that agree with the coins give all right, and reversed ones give all wrong."""

    class Student:
        student = TREE
        classes_ = np.array([0, 1])
        query_indices_ = np.arange(50)

    coins = np.arange(50) % 2 == 0
    said = coins == wrong["first"]
    Student.released_labels_ = np.column_stack([~said, said]).astype(float)
    pairs = Canaries(np.zeros((50, 1)), np.ones(50, int), np.zeros(50, int))
    scores = module._scores(Student, pairs, "labels", np.arange(50))
    assert ((scores > 0) == (coins if wrong["first"] else ~coins)).all()


def test_the_default_student_takes_off_what_the_neighbourhood_says():
    """Five neighbours dilute a canary; the student's answers without it can be taken off.

    Some 7 of 30 guesses are gained, with a standard deviation of 3.5: over 30 audits 11 σ.
    """
    teacher = KNeighborsClassifier(5)
    plain, calibrated = (
        sum(audit(teacher, 30, distiller=each, guesses=30).n_correct for _ in range(30))
        for each in ({"student": LogisticRegression()}, {})
    )
    assert calibrated > plain


def test_canaries_of_one_s_own():
    mine = Canaries(X_PUBLIC[:30] + 20, np.repeat("no", 30), np.repeat("yes", 30), kind="mine")
    result = audit(canaries=mine, guesses=30)
    assert (result.n_canaries, result.n_correct, result.canaries) == (30, 30, "mine")
    assert result.statement.n_queries == 330


def test_rows_that_are_not_labelled_are_not_guessed_by_their_labels():
    result = audit(distiller={"max_queries": 150}, n=300, guesses=300)
    assert result.statement.n_queries == 150
    assert 190 < result.n_correct < 265  # 150 for certain, half of the rest (5 σ are 31)


def test_a_private_release_keeps_to_its_claim():
    """At confidence 1 - 1e-6 a true claim fails with that probability at most."""
    for teacher in (TREE, BoundedMeans(), TeacherEnsemble(TREE, n_teachers=5)):
        result = audit(teacher, distiller={"epsilon": 1.0, "delta": 1e-9}, confidence=1 - 1e-6)
        assert result.passed
        assert (result.epsilon, result.bound.delta) == (1.0, 1e-9)
        assert result.p_value > 1e-6


def test_groups_are_the_unit_where_they_are_given():
    groups = np.arange(200) // 4
    ensemble = TeacherEnsemble(TREE, n_teachers=5)
    with_groups = audit(
        ensemble, groups=groups, canaries="duplicated", distiller={"epsilon": 1e3, "delta": 1e-9}
    )
    assert with_groups.statement.unit == "group"
    assert with_groups.bound.group_size == 1
    without = audit(ensemble, canaries="duplicated", distiller={"epsilon": 1e3, "delta": 1e-9})
    assert without.bound.group_size == 5


def test_a_slot_s_copies_are_one_group():
    pairs = Canaries(X[:3], np.ones(3), np.zeros(3), n_copies=2)
    names = module._slot_groups(np.array([7, 7]), pairs)
    assert list(names[:2]) == [7, 7]
    assert len(set(names)) == 4
    assert list(names[2::2]) == list(names[3::2])


# --------------------------------------------------------------------------------- containers


def test_frames_and_sparse_matrices():
    names = ["a", "b", "c"]
    frames = [pd.DataFrame(part, columns=names) for part in (X, X_PUBLIC)]
    for kind in ("mislabelled", "outlier"):
        result = audit(X=frames[0], y=pd.Series(Y), public=frames[1], canaries=kind, guesses=100)
        assert result.n_correct == 100
        result = audit(
            X=sparse.csr_matrix(X), public=sparse.csr_matrix(X_PUBLIC), canaries=kind, guesses=100
        )
        assert result.n_correct == 100
    assert audit(X=X.tolist(), y=list(Y), public=X_PUBLIC.tolist(), guesses=100).n_correct == 100


# ---------------------------------------------------------------------- costs and side effects


class Counting(ClassifierMixin, BaseEstimator):
    """Says by itself whether it was fitted, and by how many records."""

    fitted = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        Counting.fitted.append(len(y))
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_what_is_given_stays_as_it_is():
    teacher = Counting().fit(X, Y)
    before = dict(vars(teacher))
    distiller = PrivateDistiller(teacher, epsilon=INF).fit(X_PUBLIC)
    student = distiller.student_
    Counting.fitted.clear()
    audit_distiller(distiller, X, Y, X_PUBLIC, 50, guesses=50)
    assert Counting.fitted == [250]
    assert vars(teacher) == before
    assert distiller.student_ is student
    assert distiller.teacher is teacher
    assert len(X) == len(Y) == 200


def test_nothing_is_charged_silently():
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(Counting(), epsilon=1.0, delta=1e-9, accountant=accountant)
    Counting.fitted.clear()
    with pytest.raises(ValueError, match="epsilon=1, delta=1e-09.*charge=True") as error:
        audit_distiller(distiller, X, Y, X_PUBLIC, 50)
    assert "distiller.accountant" in str(error.value)
    assert accountant.total() == (0, 0)
    assert Counting.fitted == []
    audit_distiller(distiller, X, Y, X_PUBLIC, 50, charge=True)
    assert accountant.total()[0] == pytest.approx(1.0)
    audit_distiller(clone(distiller).set_params(accountant=None), X, Y, X_PUBLIC, 50)
    assert accountant.total()[0] == pytest.approx(1.0)
    assert len(accountant) == 1


class Bookkeeping(Counting):
    """A teacher with an accountant of its own, as diffprivlib's models have."""

    def __init__(self, accountant=None):
        self.accountant = accountant


@pytest.mark.parametrize("wrap", [lambda t: t, make_pipeline, FrozenEstimator])
def test_a_teacher_s_own_accountant_counts_too(wrap):
    teacher = wrap(Bookkeeping(BudgetAccountant()))
    with pytest.raises(ValueError, match="the teacher's .*accountant"):
        audit(teacher)
    assert audit(wrap(Bookkeeping())).n_canaries == 100


def test_it_says_what_it_costs_before_it_starts(capsys):
    def fit(self, X, y):
        print("training")
        return Counting.fit(self, X, y)

    talking = type("Talking", (Counting,), {"fit": fit})()
    audit(talking, distiller={"epsilon": 1.0}, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert "costs as much as one fit: epsilon=1" in lines[0]
    assert [line.split(":")[0] for line in lines[1:5]] == [
        "audit, step 1 of 3",
        "training",
        "audit, step 2 of 3",
        "audit, step 3 of 3",
    ]
    assert "lower bound" in "".join(lines[5:])
    audit(talking, verbose=1)
    assert "nothing protects the result" in capsys.readouterr().out
    audit(Counting(), distiller={"epsilon": 1.0})
    assert capsys.readouterr().out == ""


def test_it_asks_for_nothing_but_what_was_released(monkeypatch):
    """Canaries, scores and guesses come from public rows and from the fitted distiller."""
    seen = []
    scores = module._scores

    def watch(student, pairs, view, where):
        seen.append((type(student.teacher).__name__, pairs))
        return scores(student, pairs, view, where)

    monkeypatch.setattr(module, "_scores", watch)
    audit(distiller={"epsilon": 1.0})
    ((_, pairs),) = seen
    public = {tuple(row) for row in X_PUBLIC}
    assert {tuple(row) for row in pairs.X} <= public


def test_random_state_repeats_all_but_the_noise():
    first, again = (
        audit(LogisticRegression(), random_state=5, guesses=100).n_correct for _ in range(2)
    )
    assert first == again


# ---------------------------------------------------------------------------- certificates


def test_a_certificate_of_one_s_own():
    bound = RowBound(0.5, 0.4, name="my proof")
    result = audit(distiller={"epsilon": 1.0, "delta": 1e-9, "certificate": bound})
    assert result.statement.certificate["name"] == "my proof"


def test_a_certificate_of_another_teacher_is_refused():
    stable = BoundedMeans().fit(X, Y)
    ensemble = TeacherEnsemble(TREE, n_teachers=3).fit(X, Y)
    newton = NewtonClassifier(classes=["no", "yes"]).fit(X, Y)
    counts = RowBound(1.0, 1.0, class_counts=lambda: np.array([1, 2]))
    outputs = RowBound(1.0, 1.0, lambda rows: TREE.predict_proba(rows))
    fitted = [(each, certify(each)) for each in (stable, ensemble, newton)]
    for teacher, bound in (*fitted, (TREE, counts), (TREE, outputs)):
        with pytest.raises(ValueError, match=f"{type(bound).__name__}, holds a teacher"):
            audit(teacher, distiller={"epsilon": 1.0, "certificate": bound})


# ----------------------------------------------------------------------------------- result


def test_the_result_speaks():
    leaky, private = audit(guesses=100), audit(distiller={"epsilon": 1.0}, guesses=100)
    text = str(leaky)
    assert "100 of 100" in text
    assert "there is no claim to test" in text
    assert "ε ≥ 3.49" in leaky._repr_html_()
    assert math.isinf(leaky.epsilon)
    assert leaky.p_value == 1.0
    assert leaky.passed
    record = json.loads(json.dumps(private.to_dict()))
    assert record["epsilon"] == 1.0
    assert record["n_canaries"] == record["n_guesses"] == 100
    assert json.loads(json.dumps(leaky.to_dict()))["epsilon"] == "inf"
    assert "a low bound proves nothing" in str(private)
    assert record["passed"] == private.passed


def test_a_false_claim_is_contradicted():
    """A certificate that says a tree hardly moves: all canaries show."""
    wrong = RowBound(1e-4, 1e-4)
    settings = {"epsilon": 1.0, "delta": 1e-9, "certificate": wrong}
    result = audit(distiller=settings, guesses=100)
    assert not result.passed
    assert result.p_value < 1e-7
    assert "CONTRADICTED" in str(result)
    assert "#b3261e" in result._repr_html_()


def test_a_claim_under_add_or_remove_is_compared_under_replace_one():
    """The game replaces records: a bound between ε and 2ε contradicts nothing."""
    bound = OneRunAudit(3.0, 0.0, 0.95, 1000, 100, 99)
    for relation, passed in ("add-or-remove", True), ("replace-one", False):
        statement = AlreadyPrivate(2.0, relation=relation).statement(500)
        result = AuditResult(bound, statement, "outlier", 1000, "labels")
        assert result.passed == passed
        assert result.epsilon == (4.0 if passed else 2.0)
        assert result.p_value == bound.p_value(result.epsilon)
        assert f"claimed: ε={result.epsilon:g} under replace-one" in str(result)
        assert ("(stated: ε=2 under add-or-remove)" in str(result)) == passed


@pytest.mark.parametrize("epsilon", [1.0, 30.0])
def test_the_delta_of_a_claim_under_add_or_remove(epsilon):
    claim = AlreadyPrivate(epsilon, 1e-6, relation="add-or-remove")
    result = audit(distiller={"epsilon": epsilon, "certificate": claim}, guesses=100)
    twice, delta = as_replace_one(epsilon, 1e-6, claim.relation)
    expected = (twice, delta) if delta < 1 else (INF, 0.0)  # a δ of 1 promises nothing
    assert (result.epsilon, result.bound.delta) == expected


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"view": "teacher"}, ValueError, "view='teacher'"),
        ({"canaries": "inverted"}, ValueError, "kind='inverted'"),
        ({"canaries": 3}, TypeError, "a kind or Canaries"),
        ({"n": 301}, ValueError, "it has 300"),
        ({"y": Y[:-1]}, ValueError, "inconsistent numbers of samples"),
        ({"guesses": 101}, ValueError, "101 guesses"),
        ({"confidence": 2.0}, ValueError, "confidence=2.0"),
        ({"distiller": {"epsilon": -1.0}}, ValueError, "epsilon=-1.0"),
        ({"teacher": Ridge(), "y": X[:, 0]}, ValueError, "output_range"),
    ],
)
def test_what_cannot_be_audited(options, error, message):
    with pytest.raises(error, match=message):
        audit(**options)


def test_only_distillers_with_a_teacher():
    with pytest.raises(TypeError, match="a DecisionTreeClassifier; audit_distiller audits"):
        audit_distiller(TREE, X, Y, X_PUBLIC)
    from skdistill._withheld import WithheldTeacher

    with pytest.raises(TypeError, match="has no fit"):
        audit(WithheldTeacher())


@pytest.mark.parametrize("kind", [ValueError, type("Panic", (BaseException,), {})])
def test_a_teacher_that_raises_in_fit_stays_quiet(kind):
    class Shouting(Counting):
        def fit(self, X, y):
            raise kind("a private cell")

    with pytest.raises(ValueError, match="The teacher's fit raised an exception") as caught:
        audit(Shouting())
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_teacher_that_raises_stays_quiet():
    class Shouting(Counting):
        def predict_proba(self, X):
            raise ValueError("a private cell")

    with pytest.raises(TeacherError, match="withheld"):
        audit(Shouting())
