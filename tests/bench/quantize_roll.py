"""Roll every quantization of one model along one series in this environment's runtime: `make bench-quantize` starts it.

    python -m tests.bench.quantize_roll folder runtime [time]

The folder holds job.json, arrays.npz, whole/*.tflite and bare/*.tflite; rows go to <runtime>.json, times to
<runtime>_time.json. It imports no TensorFlow, so that tflite-runtime's environment can run it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.runtimes import RUNTIME_FAULTS
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle.manifest import Manifest, Signature
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkSpec, spec_from_manifest
from edgeseq.core.types import F32, F64
from edgeseq_train import bare_cell, evaluate
from edgeseq_train.closed_loop import Trail, closed_loop
from edgeseq_train.ladder import losses, mase
from tests.bench.quantize_series import Events

EDGE_STEPS = 1000
"""The first and the last of so many steps tell whether a difference grows."""
ROUNDS, ROUND_STEPS = 21, 100
Row = dict[str, Any]


class Job(msgspec.Struct):
    """What is rolled out."""

    manifest: Manifest
    bare: dict[str, Signature]
    scored: tuple[int, int]
    """Rows of the test part."""
    clean: int
    """Streams that are scored, the first ones; the others carry the events."""
    events: Events


class Folder:
    """A job as files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = msgspec.json.decode((path / "job.json").read_bytes(), type=Job)
        arrays = dict(np.load(path / "arrays.npz"))
        self.x: F32 = arrays.pop("x")
        self.naive: F64 = arrays.pop("naive")
        self.weights = arrays
        self.spec: NetworkSpec = spec_from_manifest(self.job.manifest.network)

    def models(self, part: str) -> dict[str, bytes]:
        """Give the files of a part by variant, float32 first."""
        found = {path.stem: path.read_bytes() for path in sorted((self.path / part).glob("*.tflite"))}
        return {name: found[name] for name in sorted(found, key=lambda name: name != "float32")}

    @property
    def origins(self) -> slice:
        """Origins that are scored."""
        return evaluate.origins(*self.job.scored, self.spec.horizon)

    def targets(self) -> F32:
        """What came after each scored origin (N, B, C, H); NaN for streams that are not scored."""
        found = evaluate.truth(self.x, self.origins, self.spec.horizon, self.naive, self.naive).y.copy()
        found[:, self.job.clean :] = np.nan
        return found


def opened(
    models: Mapping[str, bytes], make: Callable[[str, bytes], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Open what the runtime takes; of the others say why not."""
    taken, refused = {}, {}
    for name, model in models.items():
        try:
            taken[name] = make(name, model)
        except RUNTIME_FAULTS as fault:
            refused[name] = " ".join(str(fault).split())[:200]
    return taken, refused


def whole(folder: Folder, runtime: str) -> tuple[dict[str, Trail], dict[str, str]]:
    """Roll the whole network."""
    job = folder.job
    steppers, refused = opened(
        folder.models("whole"), lambda _, model: TFLiteStepper(job.manifest, runtime, model)
    )
    watch = [s.name for s in bare_cell.cell_states(folder.spec)]
    targets, origins = folder.targets(), folder.origins
    before, states = closed_loop(steppers, folder.x[: origins.start], targets[:0], watch=watch)
    after, _ = closed_loop(steppers, folder.x[origins.start :], targets, states, watch=watch)
    return {
        name: Trail(
            np.concatenate([before[name].output, after[name].output]),
            {k: np.concatenate([before[name].states[k], after[name].states[k]]) for k in watch},
            after[name].error,
        )
        for name in steppers
    }, refused  # fmt: skip


def bare(folder: Folder, runtime: str) -> tuple[dict[str, Trail], dict[str, str]]:
    """Roll the cell between NumPy's front and head."""
    spec, x, job = folder.spec, folder.x, folder.job
    cells, refused = opened(folder.models("bare"), _cell(folder, runtime, x.shape[1]))
    seen = bare_cell.views(spec, folder.weights, x)
    rolled = {name: bare_cell.roll(spec, advance, seen) for name, advance in cells.items()}
    exact = next(iter(rolled.values()))
    moved = {
        name: {k: np.abs(a - exact[k]).reshape(*a.shape[:2], -1).max(axis=2) for k, a in states.items()}
        for name, states in rolled.items()
    }
    output = bare_cell.cell_states(spec)[0].name
    spoken = {
        name: bare_cell.forecasts(spec, folder.weights, seen, states[output])
        for name, states in rolled.items()
    }
    scale = np.stack([view.scale for view in seen])[..., None, None]
    outputs, errors = _compare(
        spoken, scale, folder.targets(), folder.origins.start, len(job.manifest.levels) // 2
    )
    return {name: Trail(outputs[name], moved[name], errors[name]) for name in cells}, refused


def _cell(folder: Folder, runtime: str, batch: int) -> Callable[[str, bytes], bare_cell.Advance]:
    return lambda name, model: bare_cell.open_cell(runtime, model, folder.job.bare[name], folder.spec, batch)


def _compare(
    spoken: Mapping[str, Iterator[F32]], scale: F32, targets: F32, first: int, half: int
) -> tuple[dict[str, F32], dict[str, F64]]:
    """Compare quantiles chunk by chunk with those of the first → differences (T, B), mean errors (B, C, H)."""
    apart: dict[str, list[F32]] = {name: [] for name in spoken}
    error: dict[str, list[F64]] = {name: [] for name in spoken}
    t = 0
    for chunks in zip(*spoken.values(), strict=True):
        stop = t + len(chunks[0])
        scored = slice(max(t, first), min(stop, first + len(targets)))
        for name, q in zip(spoken, chunks, strict=True):
            difference = np.abs(q - chunks[0]) / scale[t:stop]
            apart[name].append(difference.reshape(*q.shape[:2], -1).max(axis=2))
            if scored.start < scored.stop:
                median = q[scored.start - t : scored.stop - t, ..., half].astype(np.float64)
                error[name].append(np.abs(median - targets[scored.start - first : scored.stop - first]))
        t = stop
    with np.errstate(invalid="ignore"):
        means = {name: _mean(np.concatenate(parts)) for name, parts in error.items()}
    return {name: np.concatenate(parts) for name, parts in apart.items()}, means


def _mean(error: F64) -> F64:
    known = np.isfinite(error)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, error, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def rows(folder: Folder, part: str, trails: Mapping[str, Trail], refused: Mapping[str, str]) -> list[Row]:
    """Reduce what was rolled to a row per variant."""
    clean, sizes = folder.job.clean, {name: len(model) for name, model in folder.models(part).items()}
    scored = {name: Trail(t.output, t.states, t.error[:clean]) for name, t in trails.items()}
    lost = losses(scored, folder.naive)
    made: list[Row] = [
        {
            "part": part, "variant": name, "bytes": sizes[name], "steps": len(t.output),
            "output": spread(t.output), "state": {k: spread(a) for k, a in t.states.items()},
            "events": {kind: folder.job.events.worst(kind, t.output[:, clean:]) for kind in ("shift", "spike")},
            "mase": mase(t.error[:clean], folder.naive), "mase_loss_percent": lost[name],
        }
        for name, t in trails.items()
    ]  # fmt: skip
    return [
        *made,
        *({"part": part, "variant": k, "bytes": sizes[k], "refused": why} for k, why in refused.items()),
    ]


def spread(a: F32) -> dict[str, float]:
    """Largest and 99.9 % difference (T, B), over all steps and over the first and last thousand; medians there too."""
    first, last = a[:EDGE_STEPS], a[-EDGE_STEPS:]
    return {
        "max": float(a.max()),
        "p999": float(np.quantile(a, 0.999)),
        **{f"{k}_max": float(b.max()) for k, b in (("first", first), ("last", last))},
        **{f"{k}_p999": float(np.quantile(b, 0.999)) for k, b in (("first", first), ("last", last))},
        **{f"{k}_median": float(np.median(b)) for k, b in (("first", first), ("last", last))},
    }


def timed(folder: Folder, runtime: str) -> dict[str, dict[str, list[float]]]:
    """Time one step of one stream: part → variant → µs, and the share of float32's, medians of interleaved rounds."""
    job, spec, x = folder.job, folder.spec, folder.x[:ROUND_STEPS, :1]
    steppers, _ = opened(folder.models("whole"), lambda _, model: TFLiteStepper(job.manifest, runtime, model))
    cells, _ = opened(folder.models("bare"), _cell(folder, runtime, 1))
    seen = bare_cell.views(spec, folder.weights, x)
    state = initial_state(job.manifest.state, 1)

    def step_whole(stepper: TFLiteStepper) -> None:
        now = state
        for row in x:
            _, now = stepper.step(row, now)

    return {
        "whole": _rounds({name: lambda s=s: step_whole(s) for name, s in steppers.items()}),  # type: ignore[misc]
        "bare": _rounds({name: lambda a=a: bare_cell.roll(spec, a, seen) for name, a in cells.items()}),  # type: ignore[misc]
    }


def _rounds(alternatives: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(ROUNDS):
        for name, run in alternatives.items():
            begun = time.thread_time()
            run()
            spent[name].append(1e6 * (time.thread_time() - begun) / ROUND_STEPS)
    exact = next(iter(spent.values()))
    return {
        name: [statistics.median(s), statistics.median(a / b for a, b in zip(s, exact, strict=True))]
        for name, s in spent.items()
    }


def main() -> None:
    """Roll or time a folder."""
    folder, runtime = Folder(Path(sys.argv[1])), sys.argv[2]
    if sys.argv[3:] == ["time"]:
        (folder.path / f"{runtime}_time.json").write_text(json.dumps(timed(folder, runtime)))
        return
    made = [*rows(folder, "whole", *whole(folder, runtime)), *rows(folder, "bare", *bare(folder, runtime))]
    (folder.path / f"{runtime}.json").write_text(json.dumps([{"runtime": runtime, **row} for row in made]))


if __name__ == "__main__":
    main()
