"""Models as Steppers: batches in padded buckets, and a guard against faulty models.

Buckets are {8, 64, 512}, one interpreter each, of 2 MB at least: one of a few rows less would save a lone reading 7 µs.
In tflite-runtime a batch of one differs from larger ones in the last bits, batches of 2 … 512 are bit-equal: with
buckets a row equals itself in any batch. Rows of stored states go to the
interpreter's memory and back without a copy between.

What a faulty model does to a stream: a row whose state or quantiles are not finite after a step (or whose bucket the
runtime refused to run) gets NaN quantiles and starts again from the initial state. The core serves its baseline for
NaN quantiles, so neither the daemon nor the other rows are touched. `faults` counts such rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.adapters.interpreter.calls import Calls, make_call
from edgeseq.bundle import Manifest
from edgeseq.core.forecast import RecurrentState, Stepper, initial_state, put_rows, step_rows, take_rows
from edgeseq.core.types import F32, Index

BUCKETS = (8, 64, 512)
_CALL_ROWS = 12
"""Overhead of one call, in rows of a full bucket (a call costs 8-15 µs of Python, a row about 1 µs)."""
_REPLAY_BUCKET = BUCKETS[0]
"""Rows of one call of the replay signature: with its steps beside them, larger ones hold 6 MB for a rare need."""
_REPLAY_STEPS = 64
"""Steps of one call of the replay signature: a fixed length, since every new one allocates all tensors again."""


class GuardedStepper:
    """A Stepper that keeps a faulty model from poisoning a stream: the rule at the top of this file."""

    def __init__(self, stepper: Stepper, runtime: str, variant: str) -> None:
        self.name = stepper.name
        self.channels = stepper.channels
        self.horizon = stepper.horizon
        self.levels = stepper.levels
        self.ring = stepper.ring
        self.known = stepper.known
        self.state_spec = stepper.state_spec
        self.runtime = runtime
        self.variant = variant
        self.faults = 0
        """Rows that were reset since the start."""
        self._stepper = stepper

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Advance a batch by one step; see Stepper."""
        quantiles, following = self._stepper.step(x, state, known)
        if _all_finite((quantiles, *following)):
            return quantiles, following
        return self._repaired(quantiles, following)

    def step_rows(
        self, x: F32, stored: RecurrentState, at: Index, into: Index, known: F32 | None = None
    ) -> F32:
        """Step rows of stored states; see forecast.step_rows."""
        if not isinstance(self._stepper, TFLiteStepper):
            quantiles: F32 = step_rows(self._stepper, x, stored, at, into, known)
            if _all_finite((quantiles, *(following := take_rows(stored, into)))):
                return quantiles
        else:
            quantiles, total = self._stepper.step_rows_summed(x, stored, at, into, known)
            if math.isfinite(total):
                return quantiles
            following = take_rows(stored, into)
        quantiles, following = self._repaired(quantiles, following)
        put_rows(stored, into, following)
        return quantiles

    def _repaired(self, quantiles: F32, following: RecurrentState) -> tuple[F32, RecurrentState]:
        """Reset the rows that are not finite."""
        arrays = (quantiles, *following)
        bad = ~np.all([np.isfinite(a.reshape(len(a), -1)).all(axis=1) for a in arrays], axis=0)
        self.faults += int(bad.sum())
        fresh = initial_state(self.state_spec, len(quantiles))
        quantiles = _where_rows(bad, np.full_like(quantiles, np.nan), quantiles)
        return quantiles, tuple(_where_rows(bad, new, old) for new, old in zip(fresh, following, strict=True))

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Advance a batch by T steps; see Stepper."""
        quantiles, following = self._stepper.replay(x, state, known)
        if _all_finite((quantiles, *following)):
            return quantiles, following
        return _step_through(self, x, state, known)  # to reset each row at the step of its fault


def _all_finite(arrays: Sequence[NDArray[Any]]) -> bool:
    """Add up the squares: NaN and infinity survive it, and it costs a fifth of looking at each value.

    Finite values beyond 1e19 overflow: then the caller looks again, row by row.
    """
    return math.isfinite(sum(float(np.vdot(a, a)) for a in arrays))


def _where_rows(rows: NDArray[np.bool_], yes: F32, no: F32) -> F32:
    return np.where(rows.reshape(-1, *[1] * (no.ndim - 1)), yes, no)


def _step_through(
    stepper: Stepper, x: F32, state: RecurrentState, known: F32 | None
) -> tuple[F32, RecurrentState]:
    for t in range(x.shape[1]):
        now = None if known is None else known[:, t : t + 1 + stepper.horizon]
        quantiles, state = stepper.step(x[:, t], state, now)
    return quantiles, state


class TFLiteStepper:
    """A TFLite file on one of its runtimes. Interpreters are made when a bucket is first needed."""

    def __init__(self, manifest: Manifest, runtime: str, model: bytes) -> None:
        self.name = manifest.label
        self.channels = len(manifest.channels)
        self.horizon = manifest.horizon
        self.levels = manifest.levels
        self.ring = manifest.ring
        self.known = len(manifest.known)
        self.state_spec = manifest.state
        self._manifest = manifest
        self._runtime = runtime
        self._model = model
        self._output_shape = manifest.output_shape
        self._calls: dict[tuple[str, int], Calls] = {}
        self._exact: dict[str, bool] = {}
        self._call("step", BUCKETS[0])  # a model that does not fit fails here

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Advance a batch by one step; see Stepper."""
        return self._in_buckets("step", x, state, known)

    def step_rows(
        self, x: F32, stored: RecurrentState, at: Index, into: Index, known: F32 | None = None
    ) -> F32:
        """Step rows of stored states; see forecast.step_rows."""
        return self.step_rows_summed(x, stored, at, into, known)[0]

    def step_rows_summed(
        self, x: F32, stored: RecurrentState, at: Index, into: Index, known: F32 | None = None
    ) -> tuple[F32, float]:
        """Step rows of stored states → quantiles, and the sum of squares of all results: finite if all of them are."""
        given = [np.asarray(a, np.float32) for a in ((x,) if known is None else (x, known))]
        quantiles = np.empty((len(x), *self._output_shape), np.float32)
        buckets = plan(len(x))
        if len(buckets) == 1:
            return quantiles, self._call("step", buckets[0]).rows(given, stored, at, into, quantiles)
        total, start = 0.0, 0
        for bucket in buckets:
            part, rows = slice(start, start + bucket), self._call("step", bucket).rows
            total += rows([a[part] for a in given], stored, at[part], into[part], quantiles[part])
            start += bucket
        return quantiles, total

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Advance a batch by T steps; see Stepper.

        By the replay signature where it equals steps bit for bit, else by steps, without the decoder where the model
        has one. The last step is always a `step`: it alone needs the quantiles.
        """
        start, last = 0, x.shape[1] - 1
        while last - start >= _REPLAY_STEPS and self._is_exact("replay"):
            stop = start + _REPLAY_STEPS
            foreseen = None if known is None else known[:, start : stop + self.horizon]
            _, state = self._in_buckets("replay", x[:, start:stop], state, foreseen)
            start = stop
        while start < last and self._is_exact("advance"):
            now = None if known is None else known[:, start : start + 1 + self.horizon]
            _, state = self._in_buckets("advance", x[:, start], state, now)
            start += 1
        return _step_through(self, x[:, start:], state, None if known is None else known[:, start:])

    def _is_exact(self, signature: str) -> bool:
        """Compare a signature with steps once, on fixed inputs with gaps and a spike.

        Measured on x86-64: replay is equal and three times faster in litert but for float16; in tflite-runtime other
        bits and no faster, since XNNPACK does not reach into the loop's body there.
        """
        if signature not in self._exact:
            self._exact[signature] = signature in self._manifest.signatures and self._equals_steps(signature)
        return self._exact[signature]

    def _equals_steps(self, signature: str) -> bool:
        steps, length = _REPLAY_STEPS, self.horizon
        x = _waves(_REPLAY_BUCKET, steps, self.channels)
        x[0, ::7], x[1, 9] = np.nan, 50.0
        known = _waves(_REPLAY_BUCKET, steps + length, self.known) if self.known else None
        state = initial_state(self.state_spec, _REPLAY_BUCKET)
        quantiles, stepped = _step_through(self, x, state, known)
        if signature == "replay":
            found, state = self._in_buckets("replay", x, state, known)
            return all(map(np.array_equal, (found, *state), (quantiles, *stepped)))
        for t in range(steps):
            now = None if known is None else known[:, t : t + 1 + length]
            _, state = self._in_buckets(signature, x[:, t], state, now)
        return all(map(np.array_equal, state, stepped))

    def _in_buckets(
        self, signature: str, x: F32, state: RecurrentState, known: F32 | None
    ) -> tuple[F32, RecurrentState]:
        """Call a signature on any number of rows → quantiles (none where it says nothing) and the next state."""
        rows = len(x)
        given = (x,) if known is None else (x, known)
        inputs = [np.asarray(a, np.float32) for a in given]
        inputs += [np.asarray(a, np.float32) for a in state]
        following = tuple(np.empty((rows, *spec.shape), np.float32) for spec in self.state_spec)
        says = signature != "advance"
        quantiles = np.empty((rows, *self._output_shape) if says else 0, np.float32)
        results = [quantiles] * says + [*following]
        buckets = plan(rows, _REPLAY_BUCKET if signature == "replay" else BUCKETS[-1])
        start = 0
        for bucket in buckets:
            part = slice(start, start + bucket)
            self._call(signature, bucket).arrays([a[part] for a in inputs], [a[part] for a in results])
            start += bucket
        return quantiles, following

    def _call(self, signature: str, bucket: int) -> Calls:
        found = self._calls.get((signature, bucket))
        if found is None:
            steps = (_REPLAY_STEPS,) if signature == "replay" else ()
            found = make_call(
                self._manifest, signature, self._runtime, self._model, (bucket, *steps, self.channels)
            )
            self._calls[signature, bucket] = found
        return found


def _waves(*shape: int) -> F32:
    return np.sin(np.arange(math.prod(shape), dtype=np.float32)).reshape(shape)


@cache
def plan(rows: int, largest: int = BUCKETS[-1]) -> tuple[int, ...]:
    """Cut a batch into buckets, none larger than `largest`, at the least cost.

    >>> plan(1), plan(9), plan(63), plan(70), plan(513)
    ((8,), (8, 8), (64,), (64, 8), (512, 8))
    """
    if rows > largest:
        return (largest,) * (rows // largest) + plan(rows % largest, largest)
    if rows == 0:
        return ()
    above = [(bucket,) for bucket in BUCKETS if bucket >= rows][:1]
    below = [(bucket, *plan(rows - bucket)) for bucket in BUCKETS if bucket < rows][-1:]
    return min(above + below, key=lambda buckets: sum(buckets) + _CALL_ROWS * len(buckets))
