import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge

from skdistill.students.training import default_classifier, default_regressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 8))


def test_without_noise_the_penalty_is_scikit_learns_own():
    assert default_classifier(X, 0.0).C == LogisticRegression().C
    assert default_regressor(X, X[:, 0], 0.0, None).alpha == Ridge().alpha


def test_the_penalty_grows_with_the_square_of_the_noise():
    assert np.isclose(default_classifier(X, 20.0).C / default_classifier(X, 40.0).C, 4)


def test_containers_do_not_matter():
    frame = X.tolist()
    expected = default_classifier(X, 10.0).C
    assert np.isclose(default_classifier(sp.csr_matrix(X), 10.0).C, expected)
    assert np.isclose(default_classifier(frame, 10.0).C, expected)
    assert default_classifier([["a"], ["b"]], 10.0).C == 1.0


def test_under_heavy_noise_the_default_beats_the_fixed_penalty():
    """Labels of sd 6 on 2,000 rows: the weights' squared error is several times smaller."""
    weights = RNG.normal(size=8)
    p = 1 / (1 + np.exp(-X @ weights))
    errors = {"default": [], "fixed": []}
    for _ in range(20):
        labels = np.column_stack([1 - p, p]) + RNG.normal(0, 6, size=(2000, 2))
        from skdistill.students.soft_targets import fit_on_soft_labels

        for name, student in (
            ("default", default_classifier(X, 6.0)),
            ("fixed", LogisticRegression(max_iter=1000)),
        ):
            fitted = fit_on_soft_labels(student, X, labels, np.array([0, 1]), {})
            errors[name].append(np.sum((fitted.coef_[0] - weights) ** 2))
    assert np.mean(errors["default"]) < 0.7 * np.mean(errors["fixed"])


def test_the_regressor_shrinks_for_noise():
    y = X @ RNG.normal(size=8)
    noisy = y + RNG.normal(0, 30, size=2000)
    student = default_regressor(X, noisy, 30.0, (-10.0, 10.0))
    assert student.alpha > 100
