"""The course of a training: step, validate, keep the best, until the steps or the patience are used up or Ctrl-C."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32
from edgeseq.errors import InputError
from edgeseq_train.checkpoint import Checkpoint, Course, dump, load, save
from edgeseq_train.history import Note
from edgeseq_train.loop import Trainer
from edgeseq_train.schedules import PLATEAU_FACTOR, SCHEDULES, truth_share

Progress = Callable[[int, int, float, float], None]
"""step, steps, training loss, best validation loss."""
Say = Callable[[str], None]


def train(
    trainer: Trainer, progress: Progress, say: Say = lambda _: None, checkpoint: Checkpoint | None = None
) -> tuple[dict[str, F32], list[Note]]:
    """Train → best weights and the notes; the first note is the start, which is ridge.

    Ctrl-C ends it: what is best so far is what comes back.
    """
    say(f"training on {settle_device()}")
    fingerprint = trainer.fingerprint() if checkpoint else ""
    course, states = _begin(trainer, checkpoint, fingerprint)

    def keep(states: list[Tensor]) -> None:
        if checkpoint:
            chance = trainer.rng.bit_generator.state
            save(checkpoint.path, dump(course, fingerprint, chance, trainer.arrays(states)))

    keep(states)
    try:
        while course.step < trainer.recipe.steps and course.step - course.best_step < trainer.recipe.patience:
            states = _advance(trainer, course, states)
            if course.step % trainer.recipe.validate_every and course.step != trainer.recipe.steps:
                continue
            _judge(trainer, course, progress)
            keep(states)
        if checkpoint:
            checkpoint.finished = True
    except KeyboardInterrupt:
        onward = "; --resume goes on from the last validation" if checkpoint else ""
        say(
            f"stopped at step {course.step} of {trainer.recipe.steps}: the best so far, of step {course.best_step},"
            f" is kept{onward}"
        )
    return course.kept, course.notes


def _begin(trainer: Trainer, checkpoint: Checkpoint | None, fingerprint: str) -> tuple[Course, list[Tensor]]:
    if checkpoint and checkpoint.resume:
        course, chance, arrays = load(checkpoint.path, fingerprint)
        trainer.rng.bit_generator.state = chance
        return course, trainer.restore(arrays)
    best = _finite(trainer.validate(), "validation loss", 0)
    notes = [Note(0, best, best, 0.0, 0.0)]
    return Course(best, trainer.weights(), notes), trainer.zero_states(len(trainer.lanes.position))


def _advance(trainer: Trainer, course: Course, states: list[Tensor]) -> list[Tensor]:
    """Take one optimizer step."""
    r, progress = trainer.recipe, (course.step + 1) / trainer.recipe.steps
    start, burn, keep = trainer.lanes.next()
    states = [s * tf.reshape(keep, (-1,) + (1,) * (len(s.shape) - 1)) for s in states]
    offset = tf.constant(int(trainer.rng.integers(0, r.loss_stride)))
    rate, told = _rate(trainer, course, progress), truth_share(r, progress)
    loss, norm, states = trainer.train_step(
        tf.constant(start), tf.constant(burn), offset, tf.constant(rate, tf.float32), tf.constant(told, tf.float32),
        states,
    )  # fmt: skip
    course.since.append((_finite(float(loss), "training loss", course.step + 1), float(norm)))
    course.step += 1
    return states


def _rate(trainer: Trainer, course: Course, progress: float) -> float:
    return SCHEDULES[trainer.recipe.schedule](progress) * course.rate_factor * trainer.recipe.learning_rate


def _judge(trainer: Trainer, course: Course, progress: Progress) -> None:
    """Validate, note, and keep the weights if they are the best so far."""
    r, step = trainer.recipe, course.step
    rate = _rate(trainer, course, step / r.steps)
    score = _finite(trainer.validate(), "validation loss", step)
    if score < course.best:
        course.best, course.best_step, course.kept, course.rate_step = score, step, trainer.weights(), step
    if r.schedule == "plateau" and step - course.rate_step >= r.plateau_steps:
        course.rate_factor, course.rate_step = course.rate_factor * PLATEAU_FACTOR, step
    mean_loss, mean_norm = np.mean(course.since, axis=0).tolist()
    course.notes.append(Note(step, mean_loss, score, mean_norm, rate))
    course.since = []
    progress(step, r.steps, mean_loss, course.best)


def settle_device() -> str:
    """Name what TensorFlow computes on, and make it repeat itself; nothing here needs the CPU."""
    found = tf.config.list_physical_devices("GPU")
    if found:
        # There, unlike on the CPU, sums come in any order unless told otherwise.
        tf.config.experimental.enable_op_determinism()
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in found]
    return ", ".join(names) if names else "the CPU: TensorFlow sees no GPU"


def _finite(loss: float, name: str, step: int) -> float:
    """Give the loss back; what comes after one that is not finite is lost."""
    if math.isfinite(loss):
        return loss
    raise InputError(
        "training has left the finite numbers",
        found=f"{name} {loss} at step {step}",
        wanted="a finite loss",
        do="look at the columns: too few known values, or values without bounds"
        if step == 0
        else "set a lower training.learning_rate in the recipe",
    )
