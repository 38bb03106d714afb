"""RNN, GRU and LSTM with a state that is carried from reading to reading, trained by edgeseq's own loop.

They look at the same 10 readings as the tutorials' network, and keep what they have made of all before. Trained, stored
with 8 bits a weight and run in the device's runtime, one reading at a time from the first to the last.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.core import features
from edgeseq.core.forecast import initial_state
from edgeseq.core.freerun import free_run
from edgeseq.core.types import F64
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.parts import Recording
from edgeseq_train.produce import Produced, produce
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, SplitRecipe, TrainingRecipe
from edgeseq_train.sine.outcome import Curve, Layer, Outcome
from edgeseq_train.sine.series import Sine
from edgeseq_train.sine.tutorial import WINDOW

UNITS = 16
STEPS = 300
PERIOD_NS = 60 * 10**9
"""A sine has no clock; each reading is called a minute."""


def recipe(sine: Sine, kind: Any, seed: int, steps: int = STEPS) -> Recipe:
    """Make the recipe: few units, no season told, and no more readings to look at than the tutorials' window."""
    split = SplitRecipe(
        train=sine.split.train, validation=sine.split.validation - sine.split.train,
        test=sine.split.test - sine.split.validation,
    )  # fmt: skip
    return Recipe(
        name=kind, seed=seed, split=split, cell=CellRecipe(kind=kind, units=UNITS),
        front=FrontRecipe(seasons=(), ring=WINDOW, half_life=float(6 * sine.season)),
        training=TrainingRecipe(steps=steps, patience=steps, lanes=32, validate_every=10, dropout=0.1),
    )  # fmt: skip


def run_carried(sine: Sine, kind: str, seed: int, steps: int = STEPS) -> Outcome:
    """Train, quantize, and forecast the test part."""
    chosen = recipe(sine, kind, seed, steps)
    recording = Recording(sine.values[:, None, None], ("sine",), PERIOD_NS)
    fitted = fit(recording, sine.season, chosen, lambda *_: None, lambda _: None)
    produced = produce(recording, fitted, chosen, kind, lambda _: None)
    return forecast(sine, f"{kind.upper()}({UNITS}) carried", fitted, produced)


def forecast(sine: Sine, name: str, fitted: Fitted, produced: Produced) -> Outcome:
    """Step the default variant through the series as a device does; from some origins on let it run freely."""
    variant = produced.manifest.variant(produced.manifest.default_variant)
    model = produced.files[variant.file]
    stepper = TFLiteStepper(produced.manifest, "litert", model)
    x = features.normalise(sine.values[:, None, None], fitted.anchor, fitted.unit)
    state = initial_state(stepper.state_spec, 1)
    said, before, spent = [], [], 0.0
    for row in x:
        before.append(state)
        begun = time.perf_counter()
        quantiles, state = stepper.step(row, state)
        spent += time.perf_counter() - begun
        said.append(quantiles[0, 0, :, len(stepper.levels) // 2])
    starts = list(sine.free_origins)
    states = tuple(np.concatenate(arrays) for arrays in zip(*(before[t] for t in starts), strict=True))
    free = free_run(stepper, x[starts, 0], states, sine.season)[:, 0]
    leads = _values(np.stack(said), fitted)
    return Outcome(
        name, leads[list(sine.origins), 0], _values(free, fitted), leads[starts],
        layers_of(fitted), curve_of(fitted), spent / len(x) * 1e6, len(model) / 1000,
    )  # fmt: skip


def _values(x: Any, fitted: Fitted) -> F64:
    """Turn what the model says back into the series' own values."""
    return np.asarray(x * fitted.unit[0, 0] + fitted.anchor[0, 0], np.float64)


def layers_of(fitted: Fitted) -> tuple[Layer, ...]:
    """Group the weights by what they do."""
    spec = fitted.spec

    def count(*prefixes: str) -> int:
        return sum(a.size for name, a in fitted.weights.items() if name.startswith(prefixes))

    learned = (
        Layer("linear highway, starts as ridge", f"({spec.horizon},)", count("highway")),
        Layer(f"cell of {spec.units} units", f"({spec.units},)", count("layer")),
        Layer("head: correction, spread", f"({spec.horizon}, {len(spec.levels) + 1})", count("head")),
    )
    rest = sum(a.size for a in fitted.weights.values()) - sum(layer.parameters for layer in learned)
    return (Layer("features, fixed", f"({spec.features},)", rest), *learned)


def curve_of(fitted: Fitted) -> Curve:
    """Read the curve off the notes; the first note is ridge."""
    first, *notes = fitted.notes
    return Curve(
        [n.step for n in notes], "training step", [n.loss for n in notes], [n.validation_loss for n in notes],
        "pinball loss over 50 leads", (f"ridge on {len(fitted.spec.lags)} readings", first.validation_loss),
    )  # fmt: skip
