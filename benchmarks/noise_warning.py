"""The warning of noise, and whether it tells students that are at chance from others.

Logistic regressions on shards label public rows, and a linear student learns from the labels. A
line is one setting: the noise that the student feels over the spread that labels of these class
shares can have (the warning fires above 1), and the student's AUC, mean of 6 releases.

    python benchmarks/noise_warning.py          (about 5 minutes)
"""

import warnings
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from skdistill import PrivateDistiller, ResidualRounds, TeacherEnsemble
from skdistill.release.signal import spread_of_labels

N_FEATURES, RELEASES = 15, 6
MECHANISMS = (ResidualRounds(), ResidualRounds(1, None))
rng = np.random.default_rng(0)
direction = rng.normal(size=N_FEATURES)
direction *= 2 / np.linalg.norm(direction)


def table(n, share):
    """Rows of normal features, and a logistic target with a share of positives."""
    X = rng.normal(size=(n, N_FEATURES))
    scores = X @ direction + rng.logistic(size=n)
    return X, (scores > np.quantile(scores, 1 - share)).astype(int)


def main():
    """Print one line for each setting, the noisiest first."""
    warnings.simplefilter("ignore")
    found = []
    for share, k in product((0.5, 0.05), (12, 60, 300)):
        teacher = TeacherEnsemble(LogisticRegression(), k, classes=[0, 1], random_state=0)
        teacher.fit(*table(80 * k, share))
        for m in (500, 4000):
            X, y = table(m, share)
            for rounds, epsilon in product(MECHANISMS, (0.1, 0.5, 2)):
                distiller = PrivateDistiller(teacher, epsilon=epsilon, mechanism=rounds)
                release = distiller.calibrate(X)
                spread = spread_of_labels(release.asked, np.array([1 - share, share]))
                ratio = release.noise_averaged(N_FEATURES + 1) / spread
                students = [distiller.fit(X).predict_proba(X)[:, 1] for _ in range(RELEASES)]
                auc = np.mean([roc_auc_score(y, each) for each in students])
                found.append((ratio, share, k, m, rounds.basis or "plain", epsilon, auc))
    print("ratio   share    k     m  rounds   eps    AUC")
    for ratio, share, k, m, name, epsilon, auc in sorted(found, reverse=True):
        print(f"{ratio:5.2f} {share:7.2f} {k:4} {m:5}  {name:6} {epsilon:5.1f}  {auc:.3f}")


if __name__ == "__main__":
    main()
