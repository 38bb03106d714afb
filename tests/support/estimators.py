"""Small estimators of two channels: the real network on NumPy, with weights whose answers can be told beforehand."""

from __future__ import annotations

import msgspec
import numpy as np

from edgeseq.core import pipeline
from edgeseq.core.estimate import Estimator
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec, NetworkStepper, weight_shapes
from edgeseq.core.types import F32, ChannelSource, Message, Options, StreamRule, Target
from tests.support.streams import OPTIONS, PERIOD, message

CLASSES = ("empty", "occupied")
ROOM = Target("occupancy", classes=CLASSES)
WARMTH = Target("warmth", "°C", anchor=20.0, scale=2.0)
ANCHOR, SCALE = np.array([600.0, 200.0]), np.array([256.0, 128.0])
"""Of co2 and light."""
CLASSIFY = NetworkSpec(
    layers=(LayerSpec("gru", 4),), channels=2, horizon=1, levels=(), ring=8, seasons=(), half_life=50.0, taps=2,
    task="classify", classes=2,
)  # fmt: skip
ESTIMATE = msgspec.structs.replace(CLASSIFY, levels=(0.05, 0.5, 0.95), task="estimate", classes=0)
RULE = StreamRule(
    key="room",
    name="room",
    period_ns=PERIOD,
    channels={"co2": ChannelSource("room/co2", "v"), "light": ChannelSource("room/light", "v")},
    time_field="time",
    horizon=4,
    estimate="room.edgeseq",
)


def make_weights(spec: NetworkSpec, seed: int = 7) -> dict[str, F32]:
    """Draw weights of which the present light decides: a unit more of it is 3 in the logits, or 1 in the median."""
    rng = np.random.default_rng(seed)
    weights = {
        name: (0.1 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(spec).items()
    }
    ages = np.arange(spec.ring)[::-1]
    weights["taps"] = np.stack([np.where(ages < m, 1 / m, 0) for m in (2, 4)], 1).astype(np.float32)[
        :, : spec.taps
    ]
    weights["roughness"] = np.full((spec.ring - 1, 2), 1 / (spec.ring - 1), np.float32)
    weights["lead_scale"] = np.ones(1, np.float32)
    highway = np.zeros_like(weights["highway"])
    light = spec.features - (1 + spec.taps) if spec.memory else 1
    highway[light] = [-1.5, 1.5] if spec.task == "classify" else [1.0]
    weights["highway"] = highway
    if spec.task == "estimate":
        weights["error_scale"] = np.full(1, 0.5, np.float32)
    return weights


def make_estimator(spec: NetworkSpec = CLASSIFY, seed: int = 7, name: str = "room@00000000") -> Estimator:
    """Make an estimator on NumPy."""
    stepper = NetworkStepper(spec, make_weights(spec, seed), np.float32, name)
    return Estimator(stepper, ROOM if spec.task == "classify" else WARMTH, ANCHOR, SCALE)


def room(
    estimator: Estimator | None = None, rule: StreamRule = RULE, options: Options = OPTIONS
) -> pipeline.State:
    """Make the state of a node with one room."""
    return pipeline.new_state((rule,), {}, options, {"room.edgeseq": estimator or make_estimator()})


def reading(
    step: int, co2: float | None = 600.0, light: float | None = 0.0, extra_s: float = 0.0
) -> list[Message]:
    """Make the messages of a minute; a None is a reading that is bad."""
    at_s = 60 * step + extra_s
    return [message("room/co2", at_s, co2), message("room/light", at_s, light)]


def day(steps: int, start: int = 0) -> list[Message]:
    """Make minutes in which the light goes on and off every twenty, and CO2 follows."""
    noise = np.random.default_rng(3).normal(0, 5, start + steps)
    messages = []
    for k in range(start, start + steps):
        is_on = k // 20 % 2 == 1
        messages += reading(k, 500 + 10 * (k % 20) * is_on + noise[k], 450.0 * is_on)
    return messages
