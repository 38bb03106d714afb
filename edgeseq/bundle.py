"""The bundle: one signed file that holds a model, its proofs and its description. Data only: no code, no pickle.

Layout: magic (8 bytes) · key id (8) · Ed25519 signature (64) over all bytes after it · ZIP archive with
`manifest.json`, model variants, `weights.npz` (for the NumPy stepper) and `golden.npz` (a golden roll-out).
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgeseq.core.forecast import StateSpec
from edgeseq.core.types import Aggregate

MAGIC = b"EDGESEQ\x01"


class SchemaVersion(msgspec.Struct, frozen=True):
    """Version of the manifest; an unknown major is refused."""

    major: int = 1
    minor: int = 0


class Channel(msgspec.Struct, frozen=True):
    """One input channel as the training data had it."""

    name: str
    unit: str | None = None


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
    """Argument name → tensor name in the TFLite file, in the order of the arguments."""

    inputs: dict[str, str]
    outputs: dict[str, str]


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle is. `network` is the specification that edgeseq.core.network understands."""

    schema: SchemaVersion
    bundle_id: str
    """First 16 hex digits of SHA-256 over the weights and the network specification."""
    name: str
    version: str
    created: str
    period_ns: int
    aggregate: Aggregate
    horizon: int
    levels: tuple[float, ...]
    seasons: tuple[int, ...]
    channels: tuple[Channel, ...]
    known: tuple[str, ...]
    state: tuple[StateSpec, ...]
    signatures: dict[str, Signature]
    variants: tuple[Variant, ...]
    default_variant: str
    network: dict[str, Any]
    ring: int
    golden_steps: int
    calibration: dict[str, Any] = {}
    training: dict[str, Any] = {}
    """Fingerprint: data digest, rows, split, seed, recipe, versions, baselines' table."""
    files: dict[str, str] = {}
    """File name → SHA-256 hex of every other file in the archive."""

    @property
    def label(self) -> str:
        """Name the bundle as subscribers see it: house@3f9a51c2."""
        return f"{self.name}@{self.bundle_id[:8]}"
