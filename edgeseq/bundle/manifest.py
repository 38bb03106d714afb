"""The manifest: what a bundle says about itself, and the laws it must keep."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

import msgspec

from edgeseq.bundle.archive import NAME
from edgeseq.core.durations import format_duration
from edgeseq.core.forecast import StateSpec
from edgeseq.core.known import KnownInputs
from edgeseq.core.types import Aggregate, Kind, StreamRule, Target
from edgeseq.errors import BundleError

SCHEMA_MAJOR = 1

MANIFEST = "manifest.json"
WEIGHTS = "weights.npz"
GOLDEN = "golden.npz"

MIN_GOLDEN_STEPS = 256
MAX_CLASSES = 20
"""More are no classes but a number."""
_MAX_ROW_VALUES = 2**22
"""Largest number of values of one stream's quantiles or of one state array: 16 MB, so that a lie cannot eat the RAM."""


_MAX_CALENDAR_S = 200 * 366 * 86_400


class SchemaVersion(msgspec.Struct, frozen=True):
    """Version of the manifest; an unknown major is refused."""

    major: int = 1
    minor: int = 0


class Channel(msgspec.Struct, frozen=True):
    """One input channel as the training data had it."""

    name: str
    unit: str | None = None
    anchor: float | None = None
    """Of an estimator's input: what stands for 0, in its unit; a forecaster's settles on each stream."""
    scale: float | None = None
    """… and what stands for 1."""


class Variant(msgspec.Struct, frozen=True):
    """One quantization of the model and what it costs, measured closed-loop in the real runtime."""

    name: str
    """float32, float16, int8_weights or dynamic."""
    file: str
    sha256: str
    bytes: int
    runtimes: tuple[str, ...]
    """Runtimes that reproduced the golden roll-out within the tolerance at training time."""
    tolerance: float
    """Largest difference of a quantile to the golden roll-out, in units of the running scale."""
    loss: float
    """Pinball loss of the closed-loop roll-out over the test split, in units of the seasonal-naive error."""
    mase: dict[str, float] = {}
    """Lead range → MASE of the median over the test split, e.g. {"1": .48, "24": .83}."""
    max_difference: float = 0.0
    """Largest closed-loop difference to float32 seen on the test split, in units of the running scale."""
    p999_difference: float = 0.0


class Signature(msgspec.Struct, frozen=True):
    """Argument name → tensor name in the TFLite file, in the order of the arguments.

    Inputs are `x`, `known` where the model takes inputs that are known for the future, and every state by its name in
    `Manifest.state`; outputs are `quantiles` (B, *output_shape; of a classifier its probabilities) and every state by
    the same name. `step` takes x (B, C) and known (B, 1 + H, K); it should be the file's primary subgraph, which is
    called with less overhead (TensorFlow makes the signature primary whose key sorts first). `replay`, which may be
    absent, takes x (B, T, C), known (B, T + H, K) and gives what the last step says. `advance`, which may be absent, is
    a `step` that says nothing: a model with a decoder is spared it where nobody asks for a forecast.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    key: str = ""
    """Name of the signature in the TFLite file; empty: the same as in the manifest."""


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle is. `network` is the specification that edgeseq.core.network understands."""

    schema: SchemaVersion
    bundle_id: str
    """First 16 hex digits of SHA-256 over the weights and the network specification."""
    name: str
    version: str
    created: str
    """Time of the newest reading of its recording, so that the same recording, recipe and seed give the same bytes."""
    period_ns: int
    aggregate: Aggregate
    horizon: int
    levels: tuple[float, ...]
    seasons: tuple[int, ...]
    channels: tuple[Channel, ...]
    known: tuple[str, ...]
    """Names of the K inputs that are known for the future too."""
    state: tuple[StateSpec, ...]
    signatures: dict[str, Signature]
    variants: tuple[Variant, ...]
    default_variant: str
    network: dict[str, Any]
    ring: int
    golden_steps: int
    kind: Kind = "gauge"
    """Of a counter the increments were trained on, as the device makes them."""
    columns: tuple[Channel, ...] = ()
    """What it was trained on: the recording's columns with their units as far as their source knew them; empty in a
    bundle that does not say. A channel has a unit where that of all its columns is the same."""
    covariates: int = 0
    """So many of the channels, the last ones, are inputs beside the others and are not forecast."""
    inputs: KnownInputs = KnownInputs()
    """What the known inputs are, and how they are made of time and messages."""
    target: Target | None = None
    """What is estimated of the channels; None: the channels themselves are forecast."""
    calibration: dict[str, Any] = {}
    training: dict[str, Any] = {}
    """Fingerprint: data digest, rows, split, seed, recipe, versions, baselines' table."""
    files: dict[str, str] = {}
    """File name → SHA-256 hex of every other file in the archive."""

    @property
    def label(self) -> str:
        """Name the bundle as subscribers see it: house@3f9a51c2."""
        return f"{self.name}@{self.bundle_id[:8]}"

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of what a step says: (C, H, Q), of an estimator (1, 1, Q), or (1, 1, N) with its N classes."""
        if self.target is None:
            return len(self.channels), self.horizon, len(self.levels)
        return 1, 1, len(self.target.classes or self.levels)

    def variant(self, name: str) -> Variant:
        """Find a variant by its name.

        Raises:
            BundleError: the bundle has none of that name.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise BundleError(
            "the bundle has no such variant",
            where=self.label,
            found=name,
            wanted=" or ".join(variant.name for variant in self.variants),
            do="name one of these, or none for the bundle's own choice",
        )


# --- what must hold of every manifest ---------------------------------------------------------------------------


def check_manifest(manifest: Manifest, files: Mapping[str, bytes], where: str) -> None:
    """Refuse a manifest that contradicts itself or the files beside it.

    Raises:
        BundleError: names the first contradiction.
    """
    for what, found, wanted in (*_file_faults(manifest, files), *_model_faults(manifest)):
        raise BundleError(
            f"the bundle contradicts itself: {what}",
            where=f"{where}: {MANIFEST}",
            found=found,
            wanted=wanted,
            do="train the bundle anew",
        )


def _file_faults(manifest: Manifest, files: Mapping[str, bytes]) -> Iterator[tuple[str, str, str]]:
    if missing := sorted(manifest.files.keys() - files.keys()):
        yield "a file is missing", "no such file", missing[0]
    if extra := sorted(files.keys() - manifest.files.keys()):
        yield "a file is not listed", extra[0], "only the files of the manifest"
    for name, data in files.items():
        if (digest := hashlib.sha256(data).hexdigest()) != manifest.files.get(name):
            yield f"{name} is not the file that was listed", digest, str(manifest.files.get(name))
    for variant in manifest.variants:
        if variant.file not in files or variant.file not in manifest.files:
            yield f"variant {variant.name} has no file", "no such file", variant.file
        elif (variant.sha256, variant.bytes) != (manifest.files[variant.file], len(files[variant.file])):
            yield f"variant {variant.name} lists another file", variant.sha256, manifest.files[variant.file]
    if GOLDEN not in files:
        yield "the golden roll-out is missing", "no such file", GOLDEN


Law = tuple[bool, str, object, str]
"""Whether it holds, of what, found, wanted."""


def _model_faults(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    laws = (*_size_laws(manifest), *_input_laws(manifest), *_variant_laws(manifest), *_name_laws(manifest))
    yield from ((name, str(found)[:200], wanted) for holds, name, found, wanted in laws if not holds)
    yield from _signature_faults(manifest)


def _size_laws(m: Manifest) -> Iterator[Law]:
    rows = math.prod(m.output_shape)
    yield 0 < m.period_ns < 2**63, "period_ns", m.period_ns, "1 to 2**63 - 1"
    yield m.horizon >= 1, "horizon", m.horizon, "at least 1"
    yield m.ring >= 0, "ring", m.ring, "at least 0"
    least = f"at least {MIN_GOLDEN_STEPS}"
    yield m.golden_steps >= MIN_GOLDEN_STEPS, "golden_steps", m.golden_steps, least
    yield 0 < rows <= _MAX_ROW_VALUES, "channels x horizon x levels", rows, f"1 to {_MAX_ROW_VALUES}"
    has_levels = _are_levels(m.levels) or (not m.levels and m.target is not None and bool(m.target.classes))
    yield has_levels, "levels", m.levels, "ascending within (0, 1), symmetric around 0.5"
    states = {spec.name for spec in m.state}
    yield 0 < len(states) == len(m.state), "state", [s.name for s in m.state], "each name once"
    own = not states & {"x", "known", "quantiles"}
    yield own, "state", sorted(states), "names other than x, known, quantiles"
    yield all(map(_is_state, m.state)), "state", m.state, "float32 arrays of a sane size"


def _input_laws(m: Manifest) -> Iterator[Law]:
    named = len({*m.known}) == len(m.known) == m.network.get("known", 0) and m.known == m.inputs.names
    yield named, "known", m.known, "the names of inputs, one for each of the network's"
    yield _are_inputs(m.inputs), "inputs", m.inputs, "positive scales, a calendar of at most 200 years"
    yield 0 <= m.covariates < len(m.channels), "covariates", m.covariates, "fewer than channels"
    if m.target is None:
        return
    present = "an estimate is of the present"
    yield _is_target(m.target), "target", m.target, "a scale, and 2 to 20 classes or none"
    yield m.horizon == 1, "horizon", m.horizon, f"1: {present}"
    yield all(map(_is_fixed, m.channels)), "channels", m.channels, "with anchor and scale"
    yield not (m.known or m.covariates), "known", m.known, f"none: {present}"


def _variant_laws(m: Manifest) -> Iterator[Law]:
    names = {variant.name for variant in m.variants}
    yield len(names) == len(m.variants), "variants", sorted(names), "each name once"
    yield m.default_variant in names, "default_variant", m.default_variant, " or ".join(sorted(names))
    yield all(0 < v.tolerance < math.inf for v in m.variants), "tolerance", m.variants, "a positive number"
    yield all(math.isfinite(v.loss) for v in m.variants), "loss", m.variants, "a number"


def _name_laws(m: Manifest) -> Iterator[Law]:
    yield len({c.name for c in m.channels}) == len(m.channels), "channels", m.channels, "each name once"
    yield bool(NAME.fullmatch(m.bundle_id)), "bundle_id", m.bundle_id, NAME.pattern
    shown = 0 < len(m.name) <= 64 and m.name.isprintable()
    yield shown, "name", repr(m.name), "1 to 64 printable characters"


def _signature_faults(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    names = [spec.name for spec in manifest.state]
    inputs = ["x", "known", *names] if manifest.known else ["x", *names]
    if "step" not in manifest.signatures:
        yield "the signature step is missing", str(sorted(manifest.signatures)), "step"
    for name, signature in manifest.signatures.items():
        for side, got, wanted in (
            ("inputs", signature.inputs, inputs),
            ("outputs", signature.outputs, names if name == "advance" else ["quantiles", *names]),
        ):
            if list(got) != wanted:
                yield f"the {side} of signature {name}", str(list(got))[:200], str(wanted)[:200]


def _are_levels(levels: tuple[float, ...]) -> bool:
    ascending = all(a < b for a, b in zip((0.0, *levels), (*levels, 1.0), strict=True))
    symmetric = all(
        math.isclose(a + b, 1, abs_tol=1e-6) for a, b in zip(levels, reversed(levels), strict=True)
    )
    return ascending and symmetric and len(levels) % 2 == 1


def _is_target(target: Target) -> bool:
    named = len({*target.classes}) == len(target.classes) and len(target.classes) in (
        0,
        *range(2, MAX_CLASSES + 1),
    )
    return named and bool(target.name) and math.isfinite(target.anchor) and 0 < target.scale < math.inf


def _is_fixed(channel: Channel) -> bool:
    anchor, scale = channel.anchor, channel.scale
    return anchor is not None and math.isfinite(anchor) and scale is not None and 0 < scale < math.inf


def _are_inputs(inputs: KnownInputs) -> bool:
    c = inputs.calendar
    starts = [start for start, _ in c.transitions] if c else [0]
    spans = c is None or 0 <= c.stop_s - c.start_s <= _MAX_CALENDAR_S
    ascending = bool(starts) and all(a < b for a, b in pairwise(starts))
    sane = all(math.isfinite(v.mean) and 0 < v.scale < math.inf for v in inputs.covariates)
    return spans and ascending and sane


def _is_state(spec: StateSpec) -> bool:
    sane = all(size >= 1 for size in spec.shape) and math.prod(spec.shape) <= _MAX_ROW_VALUES
    return sane and spec.dtype == "float32" and math.isfinite(spec.init)


# --- what a stream asks of a bundle ---------------------------------------------------------------------------------


def check_fits(manifest: Manifest, rule: StreamRule) -> None:
    """Refuse a bundle that was trained for other streams than the rule's.

    A bundle that forecasts one channel fits whatever that is called; covariates are told by their names. Units are
    compared channel by channel, where both sides name one.

    Raises:
        BundleError: other period, aggregate, channels, unit or known covariates.
    """
    for fits, name, found, wanted, key in _fitting_laws(manifest, rule):
        if not fits:
            raise BundleError(
                f"bundle {manifest.label} was trained for another {name}",
                where=f"streams {rule.key}",
                found=found,
                wanted=wanted,
                do=f"set {key} to what the bundle wants, or train a bundle for this stream",
            )


def _fitting_laws(m: Manifest, rule: StreamRule) -> Iterator[tuple[bool, str, str | None, str | None, str]]:
    """Give each law: whether it holds, of what, found, wanted, and the key that decides it."""
    every, wanted_every = format_duration(rule.period_ns), format_duration(m.period_ns)
    yield rule.period_ns == m.period_ns, "period", every, wanted_every, "every"
    yield rule.aggregate == m.aggregate, "aggregate", rule.aggregate, m.aggregate, "aggregate"
    # A gauge's bundle may have been trained on increments that were made beforehand.
    yield m.kind in ("gauge", rule.kind), "kind of readings", rule.kind, m.kind, "kind"
    ours, theirs = rule.channel_names, tuple(channel.name for channel in m.channels)
    if len(ours) == len(theirs) and len(theirs) - m.covariates == 1:
        theirs = (ours[0], *theirs[1:])
    in_order = ", ".join(theirs) + " in this order"
    yield ours == theirs, "set of channels", ", ".join(ours), in_order, "channels"
    known, wanted = tuple(rule.known), tuple(c.name for c in m.inputs.covariates)
    same = {*known} == {*wanted}
    yield same, "set of known inputs", ", ".join(known) or "none", ", ".join(wanted) or "none", "known"
    units = [(rule.unit_of(name), c.unit) for name, c in zip(ours, m.channels, strict=False)]
    unit, wanted_unit = next(((u, w) for u, w in units if u and w and u != w), (None, None))
    yield unit == wanted_unit, "unit", unit, wanted_unit, "unit"


def check_serves(manifest: Manifest, rule: StreamRule, key: Literal["bundle", "estimate"]) -> None:
    """Refuse an estimator where a forecaster is wanted, and the other way round.

    Raises:
        BundleError: the bundle stands under the other key.
    """
    fitting: Literal["bundle", "estimate"] = "bundle" if manifest.target is None else "estimate"
    if fitting == key:
        return
    does = "forecasts its channels" if manifest.target is None else f"estimates {manifest.target.name}"
    raise BundleError(
        f"bundle {manifest.label} {does}",
        where=f"streams {rule.key}: {key}",
        found=rule.bundle if key == "bundle" else rule.estimate,
        wanted="a forecaster" if key == "bundle" else "an estimator, made with --estimate or --classify",
        do=f"name it as {fitting} = …",
    )
