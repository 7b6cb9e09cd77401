"""The guarantees of diffprivlib's models, and the models that are not certified."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

try:
    from diffprivlib import BudgetAccountant, models
except ImportError:
    pytest.skip("import diffprivlib fails here", allow_module_level=True)

from skdistill import PrivateDistiller
from skdistill.accounting.relation import Relation
from skdistill.certificates import certify

pytestmark = [
    pytest.mark.filterwarnings("ignore:epsilon=.* was asked for, but the teacher has"),
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
]

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (200, 2))
Y = (X[:, 0] > 0).astype(int)
BOUNDS = (-1, 1)

MAKE = {
    "tree": lambda **o: models.DecisionTreeClassifier(bounds=BOUNDS, classes=[0, 1], **o),
    "forest": lambda **o: models.RandomForestClassifier(3, bounds=BOUNDS, classes=[0, 1], **o),
    "bayes": lambda **o: models.GaussianNB(bounds=BOUNDS, **o),
    "logistic": lambda **o: models.LogisticRegression(data_norm=1.5, fit_intercept=False, **o),
}


@pytest.fixture(autouse=True)
def _no_default_accountant():
    BudgetAccountant.pop_default()
    yield
    BudgetAccountant.pop_default()


def fitted(name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MAKE[name](**options).fit(X, Y)


def refused(teacher):
    bound = certify(teacher)
    return bound.reason if bound.kind == "rows" and bound.name == "worst case" else None


@pytest.mark.parametrize(
    "wrap", [lambda t: t, FrozenEstimator, lambda t: make_pipeline(Normalizer(), t)]
)
@pytest.mark.parametrize(
    ("name", "factor"), [("tree", 2.0), ("forest", 2.0), ("bayes", 2.0), ("logistic", 1.0)]
)
def test_the_epsilon_under_replace_one(name, factor, wrap):
    teacher = wrap(fitted(name, epsilon=0.7))
    bound = certify(teacher)
    assert bound.kind == "private"
    assert (bound.epsilon, bound.delta, bound.mu) == (factor * 0.7, 0.0, None)
    assert bound.relation is Relation.REPLACE_ONE
    assert any("fitted once" in text for text in bound.assumes)
    statement = PrivateDistiller(teacher).preview(X)
    assert (statement.epsilon, statement.private) == (factor * 0.7, True)
    assert any("class labels" in text for text in statement.not_protected)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize(
    "seed", [0, np.int64(3), np.random.RandomState(0), np.random.mtrand._rand], ids=repr
)
def test_a_seed_is_no_noise(name, seed):
    teacher = fitted(name, random_state=seed)
    assert "random_state" in refused(teacher)
    assert "random_state" in PrivateDistiller(teacher).preview(X).certificate["reason"]


@pytest.mark.parametrize("name", ["forest", "logistic"])
def test_warm_start(name):
    assert "warm_start" in refused(fitted(name, warm_start=True))


def test_more_trees_by_warm_start():
    forest = fitted("forest", warm_start=True)
    forest.set_params(n_estimators=6).fit(X, Y)
    assert refused(forest)
    forest.set_params(warm_start=False)
    assert "accountant" not in refused(forest.set_params(n_estimators=7))  # trees and parameters
    own = fitted("forest", warm_start=True, accountant=BudgetAccountant())
    own.set_params(n_estimators=6).fit(X, Y)
    assert "more than once" in refused(own.set_params(warm_start=False))


@pytest.mark.parametrize("name", MAKE)
def test_a_second_fit(name):
    teacher = fitted(name, accountant=BudgetAccountant())
    assert certify(teacher).kind == "private"
    for twin in (clone(teacher), copy.deepcopy(teacher), pickle.loads(pickle.dumps(teacher))):
        assert "more than once" in refused(twin.fit(X, Y))  # the copy's accountant remembers
    assert "more than once" in refused(teacher.fit(X, Y))


def test_partial_fit():
    teacher = fitted("bayes", accountant=BudgetAccountant())
    teacher.partial_fit(X, Y)
    assert "more than once" in refused(teacher)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("accountant", [None, "own"])
def test_a_parameter_changed_after_fit(name, accountant):
    teacher = fitted(name, accountant=BudgetAccountant() if accountant else None)
    assert "changed after fit" in refused(teacher.set_params(epsilon=1e-6))
    assert refused(teacher.set_params(epsilon=math.inf))
    assert refused(teacher.set_params(epsilon=-1.0))
    assert refused(teacher.set_params(epsilon="1"))
    assert refused(teacher.set_params(epsilon=True))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bayes", {"bounds": None}),
        ("bayes", {"bounds": ("a", "b")}),
        ("logistic", {"data_norm": None}),
        ("logistic", {"C": 0.0}),
        ("logistic", {"C": "x"}),
        ("logistic", {"max_iter": 99}),
        ("logistic", {"tol": 1e-3}),
        ("forest", {"n_estimators": None}),
    ],
)
def test_parameters_that_are_no_parameters(name, change):
    assert refused(fitted(name).set_params(**change))
    MAKE[name]().fit(X, Y)
    assert refused(MAKE[name]())  # not fitted, though the process's accountant knows its epsilon


def test_a_forest_remembers_its_epsilon_without_an_accountant():
    forest = fitted("forest", epsilon=1.0)
    fitted("tree", epsilon=0.25)  # the process's accountant knows a charge of 0.25
    assert "trees" in refused(forest.set_params(epsilon=0.25))


def test_the_processs_accountant_says_nothing_about_one_model():
    first, second = fitted("tree", epsilon=0.5), fitted("bayes", epsilon=0.25)
    assert (certify(first).epsilon, certify(second).epsilon) == (1.0, 0.5)


def test_a_subclass_and_a_search_are_not_certified():
    class Child(models.GaussianNB):
        pass

    assert "no proof" in refused(Child(bounds=BOUNDS).fit(X, Y))
    search = GridSearchCV(models.GaussianNB(bounds=BOUNDS), {"epsilon": [0.5, 1.0]}, cv=2)
    assert refused(search.fit(X, Y))
    learned = make_pipeline(StandardScaler(), MAKE["tree"]()).fit(X, Y)
    assert refused(learned)


# ------------------------------------------------------------------- the arithmetic of each class


@pytest.mark.parametrize(
    ("bounds", "excess"),
    [
        ((-1, 1), 0.0),
        ((0, 1), 0.0),
        ((1, 2), 1.0),  # a sum moves by 2, and noise is for 1
        ((-6, -5), 5.0),
        (([-1, 1], [1, 2]), 0.5),
    ],
)
def test_bounds_that_exclude_zero_cost_naive_bayes_more(bounds, excess):
    low, high = (np.broadcast_to(b, 2) for b in bounds)
    rows = low + (X + 1) / 2 * (high - low)
    teacher = models.GaussianNB(epsilon=0.6, bounds=tuple(map(np.array, (low, high)))).fit(rows, Y)
    assert certify(teacher).epsilon == pytest.approx(1.2 * (1 + excess / 3), rel=1e-12)


def test_naive_bayes_with_empty_bounds():
    teacher = models.GaussianNB(bounds=([1.0, -1.0], [1.0, 1.0])).fit(X, Y)
    assert "without noise" in refused(teacher)


def spent_by(epsilon, C, norm, intercept):
    """Return the cost of one problem by brute force; infinite where no ridge is left."""
    alpha, radius = 1 / C, math.sqrt(norm**2 + intercept)
    e = epsilon - 2 * math.log(1 + 0.25 * radius / alpha)
    added = 0.0
    if e <= 0:
        added = 0.25 * radius / math.expm1(epsilon / 4) - alpha
        e = epsilon / 2
    if intercept and added == 0:
        return math.inf
    K = norm**2 / (alpha + added) + (1 / added if intercept else 0)
    r = np.linspace(0, 1, 100_001)
    return float((e * (1 + r) / 2 + np.log(1 + K * r * (1 - r))).max())


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0, 5.0])
@pytest.mark.parametrize(("C", "norm"), [(1.0, 1.5), (0.01, 1.0), (10.0, 3.0), (1.0, 20.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression(epsilon, C, norm, intercept, n_classes):
    y = Y if n_classes == 2 else np.arange(200) % 3
    teacher = models.LogisticRegression(
        epsilon=epsilon, C=C, data_norm=norm, fit_intercept=intercept
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        teacher.fit(X, y)
    problems = 1 if n_classes == 2 else 3
    cost = problems * spent_by(epsilon / problems, C, norm, intercept)
    if math.isinf(cost):
        assert "intercept" in refused(teacher)
    else:
        bound = certify(teacher)
        assert bound.kind == "private"
        assert bound.epsilon == pytest.approx(max(epsilon, cost), rel=1e-6)
        assert bound.epsilon >= max(epsilon, cost)


def test_the_determinants_are_bounded_by_K():
    """One record against another: the Jacobians of objective perturbation, by brute force."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        d, ridge, added = 3, rng.uniform(0.05, 2), rng.uniform(0.05, 2)
        A = np.diag([ridge] * (d - 1) + [added])
        for row in rng.normal(size=(4, d)):
            A += rng.uniform(0, 0.25) * np.outer(row, row)
        x, other = (np.append(v / np.linalg.norm(v) * 1.7, 1) for v in rng.normal(size=(2, d - 1)))
        r, s = rng.uniform(size=2)
        one = np.linalg.det(A + r * (1 - r) * np.outer(x, x))
        two = np.linalg.det(A + s * (1 - s) * np.outer(other, other))
        assert one / two <= 1 + (1.7**2 / ridge + 1 / added) * r * (1 - r) + 1e-9


def test_workers_that_copy_a_generator():
    assert "n_jobs" in refused(fitted("logistic").set_params(n_jobs=2))


# -------------------------------------------------------------- claims that this package disproves


def proved_epsilon(likely, rare, n, confidence=1 - 1e-4):
    """Return a lower bound of ε from the counts of one event in n runs on each of two data sets."""
    alpha = (1 - confidence) / 2
    low, high = beta.ppf(alpha, likely, n - likely + 1), beta.ppf(1 - alpha, rare + 1, n - rare)
    return math.log(low / high)


@pytest.mark.slow
def test_a_trees_own_epsilon_is_false_under_replace_one():
    rows, n = np.zeros((3, 1)), 800

    def votes(labels):
        """Count the runs in which the leaf says 1."""
        trees = (
            models.DecisionTreeClassifier(1, epsilon=1.0, bounds=(0, 1), classes=[0, 1])
            for _ in range(n)
        )
        return sum(int(tree.fit(rows, labels).predict(rows)[0]) for tree in trees)

    least = proved_epsilon(votes([0, 1, 1]), votes([0, 0, 1]), n)
    assert 1.0 < least <= certify(fitted("tree", epsilon=1.0)).epsilon == 2.0


@pytest.mark.slow
def test_bounds_that_exclude_zero_break_twice_the_epsilon_of_naive_bayes():
    n, size, epsilon, bounds = 800, 50, 0.6, (100.0, 101.0)
    rows = np.full((2 * size + 1, 1), 100.0)

    def seen(in_first_class):
        """Count the runs with a noisy count of `size` and the largest mean, in the first class."""
        labels = np.arange(len(rows)) >= in_first_class
        fits = (
            models.GaussianNB(epsilon=epsilon, bounds=bounds).fit(rows, labels) for _ in range(n)
        )
        return sum(int(m.class_count_[0] == size and m.theta_[0, 0] == 101.0) for m in fits)

    teacher = models.GaussianNB(epsilon=epsilon, bounds=bounds).fit(rows, np.arange(101) >= size)
    least = proved_epsilon(seen(size + 1), seen(size), n)
    assert 2 * epsilon < least <= certify(teacher).epsilon


def test_linear_regression_releases_squares_without_noise():
    rows = RNG.uniform(0, 1, (50, 2))
    target = rows.sum(axis=1) / 2
    seen = []
    for last in (0.0, 1.0):
        rows[0, 0] = last
        teacher = models.LinearRegression(
            bounds_X=(0, 1), bounds_y=(0, 1), fit_intercept=False, epsilon=1e-3
        ).fit(rows, target)
        seen.append(teacher._obj_coefs[2][0, 0])
        bound = certify(teacher, output_range=(0.0, 1.0))
        assert bound.name == "worst case" and "no proof" in bound.reason
    assert seen[1] - seen[0] == pytest.approx(1.0)  # no noise at all, at epsilon=1e-3


def test_k_means_says_whether_a_cluster_has_a_record():
    assert "no proof" in refused(models.KMeans(2, bounds=BOUNDS).fit(X))
    lone, crowd = np.array([0.9, 0.9]), np.full((60, 2), -0.9)

    def kept(rows):
        """Count the runs in which the second centre stayed where it started."""
        count = 0
        for _ in range(20):
            model = models.KMeans(2, epsilon=1e-3, bounds=BOUNDS)
            model._init_centers = lambda dims, random_state: np.array([[-0.9, -0.9], [0.9, 0.9]])
            model._calc_iters = lambda *_: 1
            count += bool((model.fit(rows).cluster_centers_[1] == 0.9).all())
        return count

    assert kept(crowd) == 20
    assert kept(np.vstack([crowd[1:], lone])) == 0
