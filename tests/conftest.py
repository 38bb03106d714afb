"""Options that hold for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Debian keeps mosquitto in /usr/sbin, which is not on a user's path.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# TensorFlow: no greeting on stderr, no search for a graphics card.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Nothing here asserts on elapsed time, and machines are shared: no deadline. The same examples on every run, so
# that a red run is red for everybody; `--hypothesis-profile=search` looks for new ones.
_SHARED_MACHINE = [HealthCheck.too_slow]
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SHARED_MACHINE
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=_SHARED_MACHINE
)
settings.load_profile("repeatable")
