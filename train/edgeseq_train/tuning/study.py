"""Many trials: begun with the recipe itself, kept in a file, ended by time, number or Ctrl-C, gone on with later.

The sampler is Optuna's TPE (Bergstra et al., NIPS 2011), the pruner its median rule (Golovin et al., KDD 2017): a
trial is given up that is worse than the median of the finished ones at the same step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import tensorflow as tf
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError

from edgeseq.errors import ConfigError
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import Recipe
from edgeseq_train.recipe_files import write_recipe
from edgeseq_train.tuning import trial as trials
from edgeseq_train.tuning.space import recipe_of, space_of, start_of
from edgeseq_train.tuning.trial import REASON, START, Cut, Limits, Pruned, Task

NAME = "edgeseq tune model"
DIGEST = "digest"
STARTUP_TRIALS = 4
"""Finished trials before any is pruned."""
WARM_SHARE = 0.25
"""Of the steps, in which nothing is pruned."""
SEED_STRIDE = 100_003
DONE = (TrialState.COMPLETE, TrialState.PRUNED)

Bar = Callable[[str, float], None]
"""Is told what is going on, and the share of the time that is used up."""
Say = Callable[[str], None]


def task_of(recording: Recording, horizon: int, start: Recipe) -> Task:
    """Lay out a search: the values of the test part are taken out, nothing can look at them."""
    split = split_rows(len(recording.values), start.split)
    values = recording.values.copy()
    values[split.validation :] = np.nan
    known = None if recording.known is None else recording.known.copy()
    if known is not None:
        known[split.validation :] = 0.0
    visible = dataclasses.replace(recording, values=values, known=known)
    return Task(visible, horizon, start, space_of(visible, split, horizon, start))


def digest_of(task: Task) -> dict[str, str]:
    """Digest the data (without the test part) and the choices, each by itself."""
    taken = task.recording
    data = hashlib.sha256(repr((taken.values.shape, taken.names, taken.period_ns, task.horizon)).encode())
    for array in (taken.values, taken.known):
        if array is not None:
            data.update(np.ascontiguousarray(array).tobytes())
    choices = f"{write_recipe(task.start)}\n{task.space!r}"
    return {"data": data.hexdigest()[:16], "choices": hashlib.sha256(choices.encode()).hexdigest()[:16]}


@contextmanager
def opened(path: Path | None, task: Task) -> Iterator[Study]:
    """Open the study in a file, a new one if there is none; None: in memory.

    Raises:
        ConfigError: the file is no study, or one of other data or other choices.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tf.get_logger().setLevel(logging.ERROR)  # it warns of retracing, but each trial is another network
    warm = round(WARM_SHARE * task.start.training.steps)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm)
    if path is None:
        yield optuna.create_study(study_name=NAME, pruner=pruner)
        return
    storage = _storage(path)
    try:
        study = optuna.create_study(study_name=NAME, storage=storage, pruner=pruner, load_if_exists=True)
        _check(study, path, digest_of(task))
        for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            study.tell(left.number, state=TrialState.FAIL)  # of a process that was killed
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _storage(path: Path) -> optuna.storages.RDBStorage:
    try:
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    except (DatabaseError, RuntimeError) as fault:
        raise ConfigError(
            "the study cannot be opened", where=str(path), found=str(fault).partition("\n")[0],
            wanted="a study of `edgeseq tune model`, or no file", do="choose another --study",
        ) from fault  # fmt: skip


def _check(study: Study, path: Path, digest: dict[str, str]) -> None:
    """Refuse a study whose trials cannot be compared with those to come."""
    kept = study.user_attrs.get(DIGEST)
    if kept is None:
        study.set_user_attr(DIGEST, digest)
        return
    other = [name for name in digest if kept.get(name) != digest[name]]
    if other:
        raise ConfigError(
            f"the study is of other {' and '.join(other)}", where=str(path),
            found=", ".join(f"{name} {kept.get(name)}" for name in other),
            wanted=", ".join(f"{name} {digest[name]}" for name in other),
            do="choose another --study, or give the recording, options and recipe that it was begun with",
        )  # fmt: skip


def search(task: Task, study: Study, limits: Limits, say: Say, bar: Bar) -> None:
    """Try until the time is used up, there are enough trials, or Ctrl-C; what was finished is in the study."""
    begun = limits.clock()
    try:
        with _interruptible():
            while limits.trials is None or len(finished(study)) < limits.trials:
                _cut_late(limits, begun, study)
                _one(task, study, limits, begun, say, bar)
    except Cut as cut:
        say(str(cut))


def _one(task: Task, study: Study, limits: Limits, begun: float, say: Say, bar: Bar) -> None:
    """Ask for a trial, run it, and tell the study how it went; one that is cut short leaves nothing."""
    asked = _ask(task, study)
    number = len(finished(study)) + 1

    def told(step: int, steps: int, value: float) -> None:
        share = (limits.clock() - begun) / limits.budget_s
        bar(f"trial {number}, step {step}/{steps}, loss {value:.4f}", min(1.0, share))
        _cut_late(limits, begun, study, f" at step {step} of {steps}")

    state, value = TrialState.FAIL, None
    try:
        value = trials.run(task, study, asked, limits, told)
        state = TrialState.COMPLETE
        outcome = f"{value:.4f}"
    except Pruned as reason:
        asked.set_user_attr(REASON, str(reason))
        state, outcome = TrialState.PRUNED, f"pruned, {reason}"
    finally:
        study.tell(asked, value, state=state)
    chosen = ", ".join(f"{field} {_short(v)}" for field, v in asked.params.items())
    say(f"trial {number}: {outcome}  ({chosen})")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).strip('"')


def _ask(task: Task, study: Study) -> Trial:
    """Ask for the next trial. Chance depends on how many are finished: a study goes on as if it had not stopped."""
    done = finished(study)
    if not any(t.user_attrs.get(START) for t in done):
        study.enqueue_trial(start_of(task.space, task.start), user_attrs={START: True})
    seed = (task.start.seed * SEED_STRIDE + len(done)) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study.ask()


def _cut_late(limits: Limits, begun: float, study: Study, where: str = "") -> None:
    if limits.clock() - begun >= limits.budget_s:
        dropped = f"; trial {len(finished(study)) + 1} is dropped{where}" if where else ""
        raise Cut(f"the time is used up{dropped}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the search: a training by itself would take it for its own end, and keep its best."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cut(*_: object) -> None:
        raise Cut("stopped by Ctrl-C; the trial that was running is dropped")

    before = signal.signal(signal.SIGINT, cut)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def finished(study: Study) -> list[FrozenTrial]:
    """List the trials that came to an end, pruned ones among them."""
    return study.get_trials(deepcopy=False, states=DONE)


def ranked(study: Study) -> list[FrozenTrial]:
    """List the trials with a value, the best first; of equal ones the earlier."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda t: (t.value, t.number))


def best_recipe(task: Task, study: Study) -> Recipe:
    """Give the recipe of the best trial.

    Raises:
        ConfigError: no trial was finished within the bounds.
    """
    best = ranked(study)
    if best:
        return recipe_of(task.start, best[0].params)
    reasons = [t.user_attrs[REASON] for t in finished(study) if REASON in t.user_attrs]
    raise ConfigError(
        "no trial was trained to its end",
        found=f"{len(reasons)} out of bounds, the first with: {reasons[0]}"
        if reasons
        else "no time for the first",
        wanted="a training by the recipe itself, at least",
        do="loosen the bounds" if reasons else "give more --time-budget, or fewer [training] steps",
    )
