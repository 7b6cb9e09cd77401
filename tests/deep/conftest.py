"""Keras needs a backend before its first import, and takes TensorFlow unless told otherwise."""

import importlib.util
import os

if not importlib.util.find_spec(os.environ.get("KERAS_BACKEND") or "none is chosen"):
    for name in ("torch", "jax", "tensorflow"):  # the quickest on small networks first
        if importlib.util.find_spec(name):
            os.environ["KERAS_BACKEND"] = name
            break
