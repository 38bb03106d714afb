"""What is told of models: what a quantization costs, and what has come over the air."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseq.core.payloads.shared import Payload


class VariantCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantization of a model costs on this machine."""

    latency_ms: float
    """A step of a stream alone (ms)."""
    stream_us: float
    """A step of each stream among 512 (us)."""
    memory_bytes: int
    """Of model and runtime, in a process of their own."""


class VariantChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The quantization that was chosen by measuring."""

    bundle: str
    """The configured bundle."""
    variant: str
    """What serves."""
    is_within: bool
    """Whether it is within the budgets; false: none is, and this one is the quickest."""
    costs: dict[str, VariantCost]
    """Of each that runs here."""


class PairedTest(msgspec.Struct, frozen=True, kw_only=True):
    """What two models on the same streams have shown."""

    pairs: int
    """Steps whose forecasts by both have found their outcomes."""
    wanted: int
    """Steps from which it is decided; undecided, it is decided at twice as many."""
    difference: float
    """Mean pinball loss of the new one less that of the old one, as a share of the latter; negative: it errs less."""
    statistic: float
    """Of Diebold and Mariano, with the variance of Newey and West."""
    critical: float | None
    """Beyond it, on either side, the difference is significant; null while too few pairs are there."""


class UpdateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What has come over the air in the place of a configured bundle."""

    bundle: str
    """The configured bundle."""
    phase: Literal["settled", "shadowing", "watching"]
    """shadowing: a new model is judged beside the one that serves; watching: it serves, and is judged on."""
    sequence: int
    """Of the release that was taken last."""
    outcome: str
    """What became of it: the event that was told last."""
    test: PairedTest | None = None
    """The present comparison; null while there is none."""


class UpdateStatePayload(Payload, frozen=True, kw_only=True):
    """bridge/update/state: how far a bundle has come that is sent over the air; for who sends it."""

    release: str
    """SHA-256 of the release, hex."""
    state: str
    """receiving, refused, or what became of it: the last word of its event."""
    chunks: int = 0
    """Chunks in all."""
    lacking: int = 0
    """Chunks that lack."""
    missing: list[tuple[int, int]] = []
    """The first ranges of chunks that lack, first and last; 32 at most."""
    reason: str | None = None
    """Why it was refused or rolled back."""
