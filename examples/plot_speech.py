"""
Speech: whose privacy, a recording's or a speaker's?
====================================================

A phone is to recognise spoken digits. People have given recordings of their voices for training,
and there are recordings of a new user without labels. Should the release hide a single *recording*,
or everything that one *speaker* has said? Most people mean the second. It is far harder: each
speaker counts as one record, and here there are five of them.

The recordings are the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset:
six speakers, 3,000 files). Set ``SKDISTILL_DATA`` to a folder with ``fsdd/*.tar.gz`` in it, an
archive of the wav files. Where there is none, a toy synthesiser speaks, and the table says so.
"""

import io
import os
import tarfile
import warnings
from pathlib import Path

import numpy as np
from scipy.fft import dctn, rfft, rfftfreq
from scipy.io import wavfile
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import NewtonClassifier, PrivateDistiller, TeacherEnsemble

RATE, DIGITS, EPSILONS = 8000, np.arange(10), [2.0, 8.0, np.inf]


def recorded():
    """Yield (digit, speaker, sound) from an archive, if there is one."""
    beside = [folder / "shared" / "data" for folder in [Path.cwd(), *Path.cwd().parents]]
    given = os.environ.get("SKDISTILL_DATA")
    folders = [Path(given)] if given else beside
    for archive in [path for folder in folders for path in folder.glob("fsdd/*.tar.gz")][:1]:
        with tarfile.open(archive) as files:
            for file in files:
                if file.name.endswith(".wav"):
                    digit, speaker, _ = Path(file.name).stem.split("_")
                    sound = wavfile.read(io.BytesIO(files.extractfile(file).read()))[1]
                    yield int(digit), speaker, sound / np.abs(sound).max()


def synthesised(n=20):
    """Yield (digit, speaker, sound): two gliding formants for a digit, a pitch for a speaker."""
    rng = np.random.default_rng(0)
    formants = rng.uniform(300, 3000, (10, 2, 2))
    for speaker in range(6):
        pitch, size = rng.uniform(90, 220), rng.uniform(0.9, 1.1)
        for digit in np.repeat(DIGITS, n):
            time = np.arange(int(RATE * rng.uniform(0.3, 0.6))) / RATE
            low, high = (size * np.linspace(*f, len(time)) for f in formants[digit])
            harmonics = pitch * rng.normal(1, 0.03) * np.arange(1, 18)[:, None]
            loud = sum(np.exp(-(((harmonics - f) / 300) ** 2)) for f in (low, high))
            sound = (loud * np.sin(2 * np.pi * harmonics * time)).sum(axis=0)
            yield int(digit), f"voice {speaker}", sound + 0.1 * rng.normal(size=len(time))


# %%
# Features: power in 24 bands of the mel scale every 10 ms, and of its logarithm the slowest waves
# along time and pitch. Nothing is learned from the recordings, so nothing leaks here.
mel = 2595 * np.log10(1 + rfftfreq(256, 1 / RATE) / 700)
bands = np.digitize(mel, np.linspace(0, mel[-1], 25)[1:-1]) == np.arange(24)[:, None]


def features(sound):
    """Return 96 numbers for a recording of any length."""
    sound = np.pad(sound, (0, max(0, 512 - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, 256)[::80]
    power = np.abs(rfft(frames * np.hanning(256))) ** 2
    return dctn(np.log(power @ bands.T + 1e-6), norm="forward")[:8, :12].ravel()


source, sounds = "Free Spoken Digit Dataset", list(recorded())
if not sounds:
    source, sounds = "synthesised voices (no recordings found)", list(synthesised())
y, speakers = np.array([digit for digit, _, _ in sounds]), np.array([who for _, who, _ in sounds])
X = np.array([features(sound) for _, _, sound in sounds])

# %%
# Each speaker in turn is the new user: half of their recordings are public, without labels, and
# the other half is scored. The other five speakers are private. With ``groups``, one teacher
# learns from each share of the speakers, and the guarantee is for a speaker. Features are scaled
# and cut to 30 directions by the user's own public recordings.
TEACHERS = ["speaker: 5 teachers", "recording: 60 teachers", "recording: gradient rounds"]


def fitted(name, X, y, groups):
    if name == "recording: gradient rounds":
        return NewtonClassifier(classes=DIGITS).fit(X, y)
    k, groups = (5, groups) if name == "speaker: 5 teachers" else (60, None)
    members = TeacherEnsemble(LogisticRegression(C=0.03), k, classes=DIGITS, random_state=0)
    return members.fit(X, y, groups=groups)


scores = {name: np.zeros((6, len(EPSILONS))) for name in TEACHERS}
for i, user in enumerate(np.unique(speakers)):
    private, own = speakers != user, np.flatnonzero(speakers == user)
    public, scored = own[::2], own[1::2]
    Z = make_pipeline(StandardScaler(), PCA(30)).fit(X[public]).transform(X)
    for name in TEACHERS:
        teacher = fitted(name, Z[private], y[private], speakers[private])
        for j, epsilon in enumerate(EPSILONS):
            with warnings.catch_warnings():  # "mostly noise": the table will show it
                warnings.simplefilter("ignore", UserWarning)
                student = PrivateDistiller(teacher, epsilon=epsilon, delta=1e-5).fit(Z[public])
            scores[name][i, j] = student.score(Z[scored], y[scored])
print(f"Test accuracy of the student, mean over six users (chance: 0.10). Data: {source}")
print(f"{'protected unit: teacher':32}" + "".join(f"{f'ε={e:g}':>10}" for e in EPSILONS))
for name in TEACHERS:
    print(f"{name:32}" + "".join(f"{mean:>10.2f}" for mean in scores[name].mean(axis=0)))

# %%
# Without noise (ε=∞, no guarantee) five teachers do well. At ε=2 their student is as good as
# guessing, and with the recordings even at ε=8, which is a weak promise (toy voices are easier).
# Five people are far too few to hide one of them: a student that had learned from them could not
# honestly claim to. Noise shrinks with the number of
# teachers, so it would take a dozen times as many speakers to come to where 60 teachers are here.
# And the lower two rows are no substitute: they hide a recording, not that somebody took part.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
places = np.arange(len(EPSILONS))
for shift, name in zip((-0.27, 0, 0.27), TEACHERS, strict=True):
    axes.bar(places + shift, scores[name].mean(axis=0), 0.25, label=name)
    axes.plot(places + shift, scores[name].T, "k.", ms=3)
axes.axhline(0.1, color="0.5", ls=":", lw=1, label="chance")
axes.set_xticks(places, [f"ε = {e:g}" if np.isfinite(e) else "no noise" for e in EPSILONS])
axes.set(ylabel="test accuracy of the student", yticks=np.linspace(0, 1, 6), ylim=(0, 1.4))
axes.set_title(f"{source}:\nmean, and each user", fontsize="medium")
axes.legend(loc="upper left", fontsize="small")
plt.show()
