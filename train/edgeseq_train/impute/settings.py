"""How the network is trained, as the user may set it."""

from __future__ import annotations

from typing import Literal

import msgspec


class TrainingPlan(msgspec.Struct, frozen=True):
    """Settings of a training run."""

    cell: Literal["gru", "lstm", "rnn"] = "gru"
    units: int = 32
    """Of the cell, each way."""
    steps: int = 600
    """Most optimizer steps."""
    rows: int = 10_240
    """Steps of all windows of a batch."""
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    validate_every: int = 50
    patience: int = 200
    """Stop after so many steps without a better validation loss."""
    seed: int = 0
