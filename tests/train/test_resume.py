"""A training that is stopped keeps its best, and goes on as if it had never been stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseq.errors import ConfigError
from edgeseq_train.checkpoint import Checkpoint, load, save
from edgeseq_train.course import train
from tests.train.small_trainer import make_trainer

pytestmark = pytest.mark.training

OPTIONS: dict[str, Any] = {"dropout": 0.2, "schedule": "plateau", "plateau_steps": 4, "loss_stride": 2}


def press_ctrl_c(at: int) -> Any:
    """Make a progress display during which somebody presses Ctrl-C at a step."""

    def progress(step: int, *_: Any) -> None:
        if step == at:
            raise KeyboardInterrupt

    return progress


def quiet(*_: Any) -> None:
    """Show nothing."""


@pytest.mark.parametrize("segment", [16, 0])
def test_resumed_training_ends_as_if_it_had_not_been_stopped(tmp_path: Path, segment: int) -> None:
    """Stopped at step 8 and resumed, by segments or whole runs: weights and notes are those of one run, to the bit."""
    options = OPTIONS | {"segment": segment}
    whole, notes = train(make_trainer(**options), quiet)
    checkpoint = Checkpoint(tmp_path / "c.npz")
    said: list[str] = []
    _, before = train(make_trainer(**options), press_ctrl_c(8), said.append, checkpoint)
    assert len(before) < len(notes)
    assert not checkpoint.finished
    assert "stopped at step 8 of 12" in said[-1]
    assert "--resume" in said[-1]
    again = Checkpoint(checkpoint.path, resume=True)
    resumed, after = train(make_trainer(**options), quiet, quiet, again)
    assert after == notes
    for name, a in whole.items():
        np.testing.assert_array_equal(resumed[name], a)
    assert again.finished
    again.remove_if_finished()
    assert not again.path.exists()


def test_ctrl_c_keeps_the_best_so_far() -> None:
    """What comes back after Ctrl-C are the weights of the best validation before it; before any, the start."""
    trainer = make_trainer()
    start = trainer.weights()
    said: list[str] = []
    kept, notes = train(trainer, press_ctrl_c(4), said.append)
    best = min(notes, key=lambda note: note.validation_loss)
    assert f"the best so far, of step {best.step}, is kept" in said[-1]
    assert "--resume" not in said[-1]  # there is no checkpoint
    moved = any(not np.array_equal(a, start[name]) for name, a in kept.items())
    assert moved is (best.step > 0)


def test_nothing_to_resume_is_refused(tmp_path: Path) -> None:
    """--resume without a checkpoint is a ConfigError that names the file it looked for."""
    with pytest.raises(ConfigError, match="nothing to resume") as raised:
        Checkpoint(tmp_path / "house.checkpoint.npz", resume=True).check()
    assert "house.checkpoint.npz" in str(raised.value.found)
    Checkpoint(tmp_path / "house.checkpoint.npz").check()


@pytest.mark.parametrize("other", [{"learning_rate": 0.1}, {"seed": 1}])
def test_checkpoint_of_another_training_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    """A checkpoint made with another recipe or seed is a ConfigError, and nothing is trained on it."""
    checkpoint = Checkpoint(tmp_path / "c.npz")
    train(make_trainer(), press_ctrl_c(8), quiet, checkpoint)
    with pytest.raises(ConfigError, match="belongs to another training"):
        train(make_trainer(**other), quiet, quiet, Checkpoint(checkpoint.path, resume=True))


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04cut"])
def test_damaged_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no checkpoint is a ConfigError that names it."""
    save(tmp_path / "c.npz", data)
    with pytest.raises(ConfigError, match="cannot be read") as raised:
        load(tmp_path / "c.npz", "")
    assert raised.value.where == str(tmp_path / "c.npz")
