"""
How do I distil a Keras network?
================================

A hospital has labelled images and may not show them. It trains networks on them, lets these label
*public* images, adds noise to the labels, and trains a network on the result: that one may be
given away. ε says how much anyone can learn from it about a single private image; 1 is a strong
promise, 16 a weak one.

Keras itself makes an estimator of a network, ``keras.wrappers.SKLearnClassifier``. It may be the
teacher, the student, or, as here, both: every member of a ``TeacherEnsemble``, and the student. A
student network learns from soft labels: cross-entropy against probabilities.

The images are scikit-learn's digits, 8 x 8 pixels. There are 1,797 of them, and that is few: the
more teachers share in the vote, the less noise hides one image. ``python plot_keras.py cifar10``
takes the 32 x 32 pixels in colour of CIFAR-10 (a download of 170 MB, and hours on one core).
"""

import importlib.util
import os
import sys
import textwrap
import warnings

# Keras runs on PyTorch, JAX or TensorFlow, and must be told which before it is imported.
for name in ("torch", "jax", "tensorflow"):  # the quickest on small networks first
    if importlib.util.find_spec(name):
        os.environ.setdefault("KERAS_BACKEND", name)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks are quicker on one core
try:
    import keras
except ImportError:
    print('This example needs Keras: pip install "skdistill[keras]"')
    raise SystemExit from None

import numpy as np
from sklearn.datasets import load_digits

from skdistill import PrivateDistiller, ResidualRounds, TeacherEnsemble

warnings.filterwarnings("ignore", message="__array__ implementation")  # Keras on PyTorch
warnings.filterwarnings("ignore", message="The released labels are mostly noise")

# %%
# Rows may be images: X has the shape (rows, height, width, channels). One part is private, with
# its labels; one is public, and its labels are not used; the rest only measures.
if "cifar10" in sys.argv:
    (X, y), _ = keras.datasets.cifar10.load_data()
    X, y = X.astype("float32") / 255, y.ravel()
    n_private, n_public, n_teachers = 40_000, 5_000, 100
else:
    X, y = load_digits(return_X_y=True)
    X = X.astype("float32").reshape(-1, 8, 8, 1) / 16
    n_private, n_public, n_teachers = 1_000, 400, 20
X_private, X_public, X_test = np.split(X, [n_private, n_private + n_public])
y_private, _, y_test = np.split(y, [n_private, n_private + n_public])


# %%
# A function that builds the network and compiles it. Each teacher calls it for its own shard of
# the private images, the student for the public ones.
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
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.02))
    return model


network = keras.wrappers.SKLearnClassifier(
    build, fit_kwargs={"epochs": 25, "batch_size": 32, "verbose": 0}
)
teachers = TeacherEnsemble(network, n_teachers, classes=np.arange(10), random_state=0)
teachers.fit(X_private, y_private)
print(f"The mean of {n_teachers} private networks: accuracy {teachers.score(X_test, y_test):.2f}")

# %%
# One student for each ε. ``basis="graph"`` says that images which resemble each other are likely to
# share a label; that much is public, and it takes most of the noise away. Each draws its noise
# once, so that 16 may lose to 8. (These images are public. With private ones fit once: every
# ``fit`` adds its ε to their total.)
EPSILONS = [4, 8, 16, float("inf")]
students = {}
for epsilon in EPSILONS:
    distiller = PrivateDistiller(
        teachers,
        network,
        epsilon=epsilon,
        delta=1e-5,
        mechanism=ResidualRounds(basis="graph"),
        random_state=0,
    )
    students[epsilon] = distiller.fit(X_public)

print(f"\n{'ε':>4}  accuracy of the student")
for epsilon, student in students.items():
    print(f"{epsilon:>4}  {student.score(X_test, y_test):.2f}")

# %%
# The promise in words, and the network to give away.
for paragraph in str(students[8].privacy_).splitlines():
    print(textwrap.fill(paragraph, 88))
students[8].student_.network_.summary()

# %%
# Public images and the labels released for them, where matplotlib is installed.
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
