"""What carrying the state saves: one step of the shipped model against a 64-step window run again for each reading.

    make bench-step-cost        # build/bench/step_cost.json

Windows are what the tutorials deploy: a Keras GRU and a dense layer over the last 64 readings, converted to TFLite as a
loop and unrolled. Beside them the shipped network itself, run again over 64 readings. All in ai-edge-litert on one
thread, at B = 1 and B = 64 streams, called as the device calls them (set, invoke, get). Times are the thread's own
(CPU), which other work on the machine does not count into. Every round runs all alternatives one
after the other; ratios are medians over the rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import click
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.adapters.interpreter.runtimes import make_interpreter, runtime_fault
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, weight_shapes
from edgeseq.core.ops import Tensor
from edgeseq_train import export
from tests.bench.bare import Alternative, by_index

WINDOW = 64
BATCHES = (1, 64)
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
SEASON, RING, TAPS, RANK = 24, 96, 20, 24
ROUND_S = 0.004
"""Each alternative is repeated within a round for about so long."""
GOAL = 80


class Size(NamedTuple):
    """A model: its GRU layers and how far it forecasts."""

    units: int
    layers: int
    horizon: int

    @property
    def name(self) -> str:
        """Name it in figures."""
        return f"gru_{self.layers}x{self.units}_h{self.horizon}"

    @property
    def spec(self) -> NetworkSpec:
        """Specify it as the default recipe does."""
        return NetworkSpec(
            layers=(LayerSpec("gru", self.units),) * self.layers, channels=1, horizon=self.horizon, levels=LEVELS,
            ring=RING, seasons=(SEASON,), half_life=168.0, taps=TAPS, rank=RANK if self.horizon > 48 else 0,
        )  # fmt: skip


SIZES = (Size(48, 1, 24), Size(48, 1, 96), Size(64, 2, 12))
"""The default recipe for a day and for four, and two layers of 64."""


@click.command()
@click.option("--rounds", default=60)
@click.option("-o", "--output", default=Path("build/bench/step_cost.json"), type=click.Path(path_type=Path))
def bench(rounds: int, output: Path) -> None:
    """Convert, time, print."""
    console = Console(width=130)
    rows: list[dict[str, Any]] = []
    with console.status("converting and timing"):
        for size in SIZES:
            with hushed(lambda _: True):
                runtime_fault("litert")
                models = shipped(size) | windows(size)
            for batch in BATCHES:
                made = alternatives(models, batch)
                rows += [{"size": size.name, "batch": batch, **row} for row in timed(made, rounds)]
    found = figures(rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"rows": rows, "figures": found}, indent=1))
    console.print(table(rows))
    console.print(output)


def shipped(size: Size) -> dict[str, Any]:
    """Export the network as it ships; what its weights are changes no time."""
    rng = np.random.default_rng(0)
    weights = {
        name: (0.1 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(size.spec).items()
    }
    weights["lead_scale"] = np.ones(size.horizon, np.float32)
    weights["roughness"] = np.abs(weights["roughness"])
    return {"shipped": export.variants(size.spec, weights)["int8_weights"]}


def windows(size: Size) -> dict[str, Any]:
    """Convert a Keras model over windows, as a loop and unrolled, and the same layers as a step: batch → model."""
    features = size.spec.features
    dense = keras.layers.Dense(size.horizon * len(LEVELS))
    layers = [keras.layers.GRU(size.units, return_sequences=k + 1 < size.layers) for k in range(size.layers)]

    def window(unroll: bool) -> Callable[[Tensor], Tensor]:
        def over(x: Tensor) -> Tensor:
            for layer in layers:
                layer.unroll = unroll
                x = layer(x)
            return dense(x)

        return over

    def step(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        following = []
        for layer, state in zip(layers, states, strict=True):
            x, (h,) = layer.cell(x, [state])
            following.append(h)
        return (dense(x), *following)

    def made(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[int], bytes]:
        # Keras loops have a fixed batch in TFLite.
        return lambda batch: converted(function, *((batch, *shape) for shape in shapes))

    states = [(size.units,)] * size.layers
    return {
        "window loop": made(window(unroll=False), (WINDOW, features)),
        "window unrolled": made(window(unroll=True), (WINDOW, features)),
        "same layers, stepped": made(step, (features,), *states),
    }


def converted(function: Callable[..., Any], *shapes: tuple[int, ...]) -> bytes:
    """Convert a function of tensors, its variables frozen."""
    arguments = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    concrete = tf.function(function, autograph=False).get_concrete_function(*arguments)
    frozen = convert_variables_to_constants_v2(concrete)
    with hushed(lambda _: True):
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


def alternatives(models: Mapping[str, Any], batch: int) -> dict[str, Alternative]:
    """Bind each model at a batch size: set all arguments, invoke, get all results."""
    made = {"step": by_index(models["shipped"], batch), "replay 64": by_signature(models["shipped"], batch)}
    return made | {name: by_index(make(batch), batch) for name, make in models.items() if name != "shipped"}


def by_signature(model: bytes, batch: int) -> Alternative:
    """Call the signature that takes a window, as the device replays."""
    runner = make_interpreter("litert", model).get_signature_runner(export.SIGNATURE_KEYS["replay"])
    shapes = {name: d["shape_signature"] for name, d in runner.get_input_details().items()}
    arrays = {
        name: np.full([batch, *shape[1:]], 0.1, np.float32) for name, shape in shapes.items() if name != "x"
    }
    arrays["x"] = np.full((batch, WINDOW, *shapes["x"][2:]), 0.1, np.float32)
    return lambda: runner(**arrays)


def timed(made: Mapping[str, Alternative], rounds: int) -> list[dict[str, Any]]:
    """Time all alternatives in turn, round by round → a row each, with medians."""
    repeats = {name: max(1, int(ROUND_S / min(_once(call) for _ in range(5)))) for name, call in made.items()}
    spent: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, call in made.items():
            begun = time.thread_time()
            for _ in range(repeats[name]):
                call()
            spent[name].append(1e6 * (time.thread_time() - begun) / repeats[name])

    def ratio(name: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(spent[name], spent[to], strict=True))

    return [
        {"what": name, "us": statistics.median(s), "us_least": min(s), "per_step": ratio(name, "step"),
         "per_same_layers": ratio(name, "same layers, stepped")}
        for name, s in spent.items()
    ]  # fmt: skip


def _once(call: Alternative) -> float:
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Name the ratios: a window run again, in steps of the shipped model and in steps of the same layers."""
    found: dict[str, float] = {"goal": float(GOAL)}
    for r in rows:
        name = f"{r['what'].replace(',', '').replace(' ', '_')}_{r['size']}_b{r['batch']}"
        found[f"us_{name}"] = r["us"]
        if r["what"] not in {"step", "same layers, stepped"}:
            found[f"{name}_per_step"] = r["per_step"]
            found[f"{name}_per_same_layers"] = r["per_same_layers"]
    return found


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay out the rows."""
    shown = Table(title="a 64-step window run again for each reading, in steps", title_justify="left")
    for column in ("model", "streams", "what", "µs", "least", "÷ shipped step", "÷ same layers, stepped"):
        shown.add_column(column, justify="left" if column in {"model", "what"} else "right")
    for r in rows:
        shown.add_row(r["size"], str(r["batch"]), r["what"], f"{r['us']:.1f}", f"{r['us_least']:.1f}",
                      f"{r['per_step']:.1f}", f"{r['per_same_layers']:.1f}")  # fmt: skip
    return shown


if __name__ == "__main__":
    bench()
