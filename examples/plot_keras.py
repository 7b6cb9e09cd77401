"""
How do I distil a Keras network?
================================

Networks are wrapped by Keras itself, in ``keras.wrappers.SKLearnClassifier``, and may then be the
teacher, the student, or every member of a ``TeacherEnsemble``. A student network is trained on the
soft labels as they are: cross-entropy against probabilities.

The images are scikit-learn's digits, 8 x 8 pixels, of which there are few: an ε that makes sense
needs more teachers. ``python plot_keras.py cifar10`` takes CIFAR-10 instead (a download of 170 MB
and an hour).
"""

import importlib.util
import os
import sys
import warnings

for backend in ("torch", "jax", "tensorflow"):  # for small networks the first is the quickest
    if importlib.util.find_spec(backend):
        os.environ.setdefault("KERAS_BACKEND", backend)
try:
    import keras
except ImportError:
    print('This example needs Keras: pip install "skdistill[keras]"')
    raise SystemExit from None

import numpy as np
from sklearn.datasets import load_digits

from skdistill import PrivateDistiller, TeacherEnsemble

warnings.filterwarnings("ignore", message="__array__ implementation")  # Keras on PyTorch
warnings.filterwarnings("ignore", message="The released labels are mostly noise")

# %%
# Rows may be images: X has the shape (rows, height, width, channels), private and public alike.
if "cifar10" in sys.argv:
    (X, y), _ = keras.datasets.cifar10.load_data()
    X, y, n_private, n_public, n_teachers = X / 255, y.ravel(), 40_000, 5_000, 100
else:
    X, y = load_digits(return_X_y=True)
    X, n_private, n_public, n_teachers = X.reshape(-1, 8, 8, 1) / 16, 1_000, 400, 10
X = X.astype("float32")
X_private, X_public, X_test = np.split(X, [n_private, n_private + n_public])
y_private, _, y_test = np.split(y, [n_private, n_private + n_public])


# %%
# A function that builds the network and compiles it. Each member calls it for its own shard.
def build(X, y):
    model = keras.Sequential(
        [
            keras.layers.Input(X.shape[1:]),
            keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
            keras.layers.Conv2D(64, 3, activation="relu", strides=2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.01))
    return model


network = keras.wrappers.SKLearnClassifier(
    build, fit_kwargs={"epochs": 30, "batch_size": 32, "verbose": 0}
)
teachers = TeacherEnsemble(network, n_teachers, classes=np.arange(10), random_state=0)
teachers.fit(X_private, y_private)
print(f"The mean of {n_teachers} networks: accuracy {teachers.score(X_test, y_test):.2f}")

# %%
# One student per ε. (The data are public here. With private data, fit once.)
EPSILONS = [4, 8, 16, float("inf")]
students = {}
for epsilon in EPSILONS:
    distiller = PrivateDistiller(teachers, network, epsilon=epsilon, delta=1e-5, random_state=0)
    students[epsilon] = distiller.fit(X_public)
    print(f"student, ε={epsilon:>4}: accuracy {students[epsilon].score(X_test, y_test):.2f}")

# %%
# The student is a Keras model, and may be saved as one.
students[8].student_.network_.summary()

# %%
# Public images and what was released about them, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
fig, axes = plt.subplots(2, 5, figsize=(9, 3.6), height_ratios=[2, 1])
for column in range(5):
    axes[0, column].imshow(X_public[column], cmap="gray_r")
    axes[0, column].axis("off")
    axes[1, column].bar(range(10), students[8].released_labels_[column])
    axes[1, column].set(ylim=(-0.5, 1.5), yticks=[0, 1], xticks=[0, 9])
fig.suptitle("Public images, and their labels released at ε=8")
plt.show()
