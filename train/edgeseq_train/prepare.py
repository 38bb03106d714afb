"""From grid values to training rows: the device's own front, run once over every series.

The front of `edgeseq.core.network` depends on no learned weight, so its outputs are computed once, with the very
functions of the device, and training only gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import features, network
from edgeseq.core.baseline import BaselineStepper
from edgeseq.core.forecasters import RETRY_STEPS
from edgeseq.core.network import NetworkSpec
from edgeseq.core.ops import NumpyOps, Tensor
from edgeseq.core.types import F32, F64
from edgeseq.errors import InputError
from edgeseq_train.seasons import DAY_NS

CHUNK_ROWS = 4096
LONGEST_SEASON = 2880
"""Steps of the longest day that a device takes for its season unasked."""


class BlasOps(NumpyOps):
    """NumpyOps with the fast matrix product: here nobody asks that a row equal itself in any batch."""

    @staticmethod
    def matmul(a: Tensor, b: Tensor) -> Tensor:
        """Multiply in one call."""
        return a @ b


BLAS = BlasOps()


def kept_steps(ring: int, horizon: int, period_ns: int) -> int:
    """Count the steps of history that a device keeps for a model of this ring, with its default season, the day.

    After a longer gap it begins the stream anew; what lies farther back it has forgotten.
    """
    day, rest = divmod(DAY_NS, period_ns)
    season = 0 if rest or not 2 <= day <= LONGEST_SEASON else day
    return max(2 * features.WARM_READINGS, ring, BaselineStepper(1, horizon, season).ring)


def settle(values: F64, names: tuple[str, ...], kept: int | None = None) -> tuple[F64, F64]:
    """Settle anchor and unit of each stream as the device does: at its first step with enough values of all channels.

    Args:
        values: (T, S, C) of the training part.
        names: of the channels or streams, for the error.
        kept: steps of history that the device keeps; None: all.

    Returns:
        anchor and unit, (S, C) each.

    Raises:
        InputError: a device would never let a model join, for a channel never changes or has too few values.
    """
    T, S, C = values.shape
    both = [_settle_stream(values[:, s], kept or T) for s in range(S)]
    for s in range(S):
        if not np.isfinite(both[s]).all():
            raise _unsettled(values[:, s], names[s * C : (s + 1) * C], kept or T)
    settled = np.stack(both)
    return settled[:, 0], settled[:, 1]


def _settle_stream(values: F64, kept: int) -> F64:
    """Give anchor and unit (2, C) of a stream (T, C) at the step where `core.forecasters` settles them; NaN: never."""
    counts = np.concatenate([np.zeros((1, values.shape[1]), np.int64), np.isfinite(values).cumsum(axis=0)])
    for start, stop in _stretches(values, kept):
        step = start
        while step < stop:
            first = max(start, step + 1 - kept)
            lacking = features.WARM_READINGS - int((counts[step + 1] - counts[first]).min())
            if lacking <= 0:
                anchor, unit = features.settle(values[None, first : step + 1])
                if np.isfinite(unit).all():
                    return np.concatenate([anchor, unit])
            step += lacking if lacking > 0 else RETRY_STEPS
    return np.full((2, values.shape[1]), np.nan)


def _stretches(values: F64, kept: int) -> list[tuple[int, int]]:
    """Cut a stream (T, C) at gaps after which the device begins anew; the step before one never becomes history."""
    seen = np.flatnonzero(np.isfinite(values).any(axis=1))
    if len(seen) == 0:
        return []
    last = np.flatnonzero(np.diff(seen) - 1 > kept)
    starts, stops = [seen[0], *seen[last + 1]], [*seen[last], len(values)]
    return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def _unsettled(values: F64, names: tuple[str, ...], kept: int) -> InputError:
    known = np.isfinite(values).sum(axis=0)
    still = [c for c in range(len(names)) if not np.isfinite(features.settle(values[None, :, [c]])[1]).all()]
    if still:
        return InputError(
            "a channel never changes in the training part",
            where=names[still[0]],
            found=f"{known[still[0]]} valid values of {len(values)}",
            wanted=f"at least {features.WARM_READINGS} valid values that differ",
            do="leave the channel out with --without; where series are of different times, give --since",
        )
    return InputError(
        "values are so seldom that a device would never let the model join",
        where=", ".join(names)[:200],
        found=f"{known.min()} valid values of {len(values)}, never enough of them that differ at a time",
        wanted=f"{features.WARM_READINGS} valid values of each channel within {kept} steps, the history of a device",
        do="give a longer --every, or --on-gap hold if the sensors report only when the value changes",
    )


@dataclass(frozen=True, slots=True)
class Track:
    """What the front keeps of each step, (T, S, C) each."""

    clean: F32
    mask: F32
    mean: F32
    variance: F32
    age: F32
    seen: F32


def track(spec: NetworkSpec, x: F32) -> Track:
    """Run the front's sequential half over x (T, S, C), from a cold start."""
    names = network.FRONT_STATES[:-1]
    states = [s for s in network.state_spec(spec) if s.name in names]
    state = tuple(np.full((x.shape[1], *s.shape), s.init, np.float32) for s in states)
    columns: list[list[F32]] = [[] for _ in range(6)]
    with np.errstate(invalid="ignore"):
        for row in x:
            clean, mask, state = network.track(BLAS, spec, row, state)
            _, mean, variance, age, seen, _, _ = state
            for column, value in zip(columns, (clean, mask, mean, variance, age, seen), strict=True):
                column.append(value)
    return Track(*(np.stack(c) for c in columns))


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of consecutive rows of one stream: [start, stop) of Rows."""

    start: int
    stop: int
    train_stop: int
    cold: bool


@dataclass(slots=True)
class Rows:
    """All runs behind one another, each with R rows before it (its ring) and H after it (its targets)."""

    spec: NetworkSpec
    clean: F32
    """(N, C)"""
    target: F32
    """(N, C), NaN where missing."""
    mask: F32
    mean: F32
    variance: F32
    age: F32
    seen: F32
    weight: F32
    """(N, C): 1 / the seasonal-naive error of the stream, in x."""
    known: F32
    """(N, K) inputs whose future is known."""
    features: F32
    """(N, F)"""
    runs: list[Run]


@dataclass(frozen=True, slots=True)
class Piece:
    """Series to learn from: all streams over the same steps."""

    kept: Track
    x: F32
    """(T, S, C)"""
    naive: F64
    """(S, C) seasonal-naive error; infinite where it does not count."""
    train_end: int
    known: F32 | None
    """(T, K), or (T, S, K) where streams lie at different times."""
    cold: bool = False


def assemble(spec: NetworkSpec, pieces: list[Piece]) -> Rows:
    """Lay runs behind one another."""
    before, after = spec.ring, spec.horizon
    tracked = ("clean", "mask", "mean", "variance", "age", "seen")
    columns: dict[str, list[F32]] = {name: [] for name in (*tracked, "target", "known", "weight")}
    runs: list[Run] = []
    position = 0
    for piece in pieces:
        for s in range(piece.x.shape[1]):
            named = {name: getattr(piece.kept, name)[:, s] for name in tracked}
            for name, array in (*named.items(), ("target", piece.x[:, s]), ("known", _known(spec, piece, s))):
                end_value = np.nan if name == "target" else 0.0
                padded = np.pad(array, ((before, after), (0, 0)), constant_values=end_value)
                columns[name].append(padded.astype(np.float32))
            n = len(piece.x)
            columns["weight"].append(
                np.tile((1 / piece.naive[s]).astype(np.float32), (before + n + after, 1))
            )
            start = position + before
            runs.append(Run(start, start + n, start + min(piece.train_end, n), piece.cold))
            position += before + n + after
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Rows(spec=spec, **arrays, features=np.zeros((position, spec.features), np.float32), runs=runs)


def _known(spec: NetworkSpec, piece: Piece, stream: int) -> F32:
    if piece.known is None:
        return np.zeros((len(piece.x), spec.known), np.float32)
    known = piece.known[: len(piece.x)]  # the recording's goes on behind the validation part
    return known if known.ndim == 2 else known[:, stream]


def lagged(rows: Rows, index: NDArray[np.int64]) -> F32:
    """Gather the lags (n·C, L) of each row."""
    taken = rows.clean[index[:, None] - rows.spec.lags]
    rows_of_lags: F32 = np.moveaxis(taken, 1, 2).reshape(-1, len(rows.spec.lags))
    return rows_of_lags


def fill_features(rows: Rows, weights: dict[str, F32]) -> None:
    """Compute the cell's features of every row of every run by the network's own `observe`."""
    spec = rows.spec
    expected = rows.clean.copy()
    for index in _chunks(rows):
        d = network.visible(BLAS, spec, lagged(rows, index), rows.mean[index], rows.seen[index])
        d = d - rows.clean[index].reshape(-1, 1)
        expected[index] += (d @ weights["next"]).reshape(-1, spec.channels)
    for index in _chunks(rows):
        known = np.minimum(rows.seen[index - 1], 1.0)
        innovation = rows.mask[index] * known * (rows.clean[index] - expected[index - 1])
        view = network.observe(
            BLAS, spec, weights, rows.clean[index], lagged(rows, index), rows.mean[index], rows.variance[index],
            rows.age[index], rows.seen[index], innovation,
        )  # fmt: skip
        view = network.absolute(BLAS, spec, weights, view, rows.target[index])
        rows.features[index] = np.concatenate([view.features, rows.known[index]], axis=1)


def _chunks(rows: Rows) -> list[NDArray[np.int64]]:
    size = max(1, CHUNK_ROWS // rows.spec.channels)
    return [
        np.arange(a, min(a + size, run.stop)) for run in rows.runs for a in range(run.start, run.stop, size)
    ]


def cold_starts(
    spec: NetworkSpec, whole: Piece, length: int, count: int, rng: np.random.Generator
) -> list[Piece]:
    """Cut `count` stretches of `length` steps that begin anywhere, so that the model learns to start cold."""
    x = whole.x[: whole.train_end]
    stream = rng.integers(0, x.shape[1], count)
    start = rng.integers(0, max(1, len(x) - length), count)
    cut = np.stack([x[a : a + length, s] for a, s in zip(start, stream, strict=True)], axis=1)
    known = None
    if whole.known is not None:
        known = np.stack([whole.known[a : a + length] for a in start], axis=1)
    return [Piece(track(spec, cut), cut, whole.naive[stream], length, known, cold=True)]
