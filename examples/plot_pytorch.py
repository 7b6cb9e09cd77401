"""
How do I distil a PyTorch network?
==================================

A bank has 12,000 labelled records and may not show them. It trains networks on them, lets these
label *public* rows, adds noise to the labels, and trains a network on the result: that one may be
given away. ε says how much anyone can learn from it about a single private record; 1 is a strong
promise, 4 a weak one.

skorch makes an estimator of any ``torch.nn.Module``. It may be the teacher, the student, or, as
here, both: every member of a ``TeacherEnsemble``, and the student. A student network learns from
soft labels: cross-entropy against probabilities. skorch's printed accuracy, its validation split
and its early stopping go on working.
"""

import textwrap
import warnings

try:
    import skorch
    import torch
except ImportError:
    print('This example needs PyTorch and skorch: pip install "skdistill[torch]"')
    raise SystemExit from None

from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from skdistill import PrivateDistiller, TeacherEnsemble

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="The released labels are mostly noise")

# %%
# 12,000 private records; 2,000 public rows, whose labels are not used; 2,000 rows to measure.
X, y = make_classification(
    16_000, n_features=10, n_informative=6, n_classes=3, class_sep=1.5, random_state=0
)
X = X.astype("float32")
X_private, X, y_private, y = train_test_split(X, y, test_size=4_000, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=2_000, random_state=0)


# %%
# The module gives scores; CrossEntropyLoss takes class numbers and probabilities alike. (skorch's
# own default, NLLLoss on a module that ends in a softmax, is fine as well.)
class Network(torch.nn.Module):
    """One hidden layer."""

    def __init__(self, n_hidden=32):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(10, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, 3)
        )

    def forward(self, X):
        """Give a score for each class."""
        return self.layers(X)


network = skorch.NeuralNetClassifier(
    Network,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.02,
    max_epochs=12,
    callbacks=[skorch.callbacks.EarlyStopping(patience=4)],
    verbose=0,
)

# %%
# 60 networks on 200 records each. How long one of them trains depends on its records, and with it
# how many random numbers it takes: every member is given generators of its own, so that the others
# do not notice.
teachers = TeacherEnsemble(network, 60, classes=[0, 1, 2], random_state=0)
teachers.fit(X_private, y_private)
print(f"The mean of 60 private networks: accuracy {teachers.score(X_test, y_test):.3f}")

# %%
# One student for each ε, a larger network than the teachers. (These records are made up. With
# private ones fit once: every ``fit`` adds its ε to their total.)
EPSILONS = [0.5, 1, 2, 4, float("inf")]
larger = clone(network).set_params(module__n_hidden=64)
students = {}
for epsilon in EPSILONS:
    distiller = PrivateDistiller(teachers, larger, epsilon=epsilon, delta=1e-5, random_state=0)
    students[epsilon] = distiller.fit(X_public)
accuracy = [student.score(X_test, y_test) for student in students.values()]

print(f"\n{'ε':>4}  accuracy of the student")
for epsilon, value in zip(EPSILONS, accuracy, strict=True):
    print(f"{epsilon:>4}  {value:.3f}")

# %%
# The promise in words, and the module to give away.
for paragraph in str(students[1].privacy_).splitlines():
    print(textwrap.fill(paragraph, 88))
print(students[1].student_.network_.module_)

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(layout="constrained")
axes.semilogx(EPSILONS[:-1], accuracy[:-1], "o-", label="student")
axes.axhline(accuracy[-1], ls=":", label="student without noise")
axes.set(xlabel="ε of the whole release", ylabel="test accuracy")
axes.set_xticks(EPSILONS[:-1], EPSILONS[:-1])
axes.minorticks_off()
axes.legend(loc="lower right")
plt.show()
