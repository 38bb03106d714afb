"""Train, quantize and export the models that edgeseq runs; needs the `train` extra."""

import os

# TensorFlow tells its build options on stderr at import, unless it is told to keep to errors before.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
