"""
How do I distil a PyTorch network?
==================================

skorch makes an estimator of any ``torch.nn.Module``, and that may be the teacher, the student, or
every member of a ``TeacherEnsemble``. A student network is trained on the soft labels as they are:
cross-entropy against probabilities. skorch's printed accuracy, its validation split and its early
stopping go on working.
"""

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
    lr=0.01,
    max_epochs=20,
    callbacks=[skorch.callbacks.EarlyStopping(patience=4)],
    verbose=0,
)

# %%
# 60 networks on 200 records each. How long one of them trains depends on its records, and with it
# how many random numbers it takes: every member is given generators of its own, so that the others
# do not notice.
teachers = TeacherEnsemble(network, 60, classes=[0, 1, 2], random_state=0)
teachers.fit(X_private, y_private)
print(f"The mean of 60 networks: accuracy {teachers.score(X_test, y_test):.3f}")

# %%
# Students are larger networks than the teachers. (With private data, fit once.)
EPSILONS = [0.5, 1, 2, 4, float("inf")]
student = clone(network).set_params(module__n_hidden=64)
accuracy = []
for epsilon in EPSILONS:
    distiller = PrivateDistiller(teachers, student, epsilon=epsilon, delta=1e-5, random_state=0)
    accuracy.append(distiller.fit(X_public).score(X_test, y_test))
    print(f"student, ε={epsilon:>4}: accuracy {accuracy[-1]:.3f}")

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
plt.semilogx(EPSILONS[:-1], accuracy[:-1], "o-", label="student")
plt.axhline(accuracy[-1], ls=":", label="student without noise")
plt.gca().set(xlabel="ε of the whole release", ylabel="test accuracy")
plt.legend(loc="lower right")
plt.show()
