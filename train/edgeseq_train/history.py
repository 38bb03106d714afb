"""What training notes at every validation: enough for a picture of how it went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One validation, with what happened since the one before."""

    step: int
    """Optimizer steps taken."""
    loss: float
    """Mean training loss since the last note (pinball × 2, in seasonal-naive errors, weighted by lead)."""
    validation_loss: float
    gradient_norm: float
    """Mean norm of the whole gradient before it was clipped."""
    learning_rate: float
