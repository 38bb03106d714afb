"""Sparkplug: whatever bytes come on the topics of edge nodes and devices."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.decoders import checker, seeds_of

TOKENS = (
    *(
        "\x12\x0a",
        "\x18\x00",
        "\x18\x01",
        "\x10\x01",
        "\x20\x0a",
        "\x28\x01",
        "\x38\x01",
        "\x50\x01",
        "\x58\x01",
    ),
    *("\x0a\x05bdSeq", "engUnit", "\x65\x00\x00\xc0\x7f", "\x69\x00\x00\x00\x00\x00\x00\xf8\x7f", "\x4a\x00"),
)


def seeds() -> list[bytes]:
    """Give inputs to begin with."""
    return seeds_of("sparkplug")


def new() -> Callable[[bytes], None]:
    """Make a node that takes an input as a message."""
    return checker("sparkplug")
