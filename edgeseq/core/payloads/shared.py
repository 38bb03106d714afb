"""What all payloads share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$", description="ISO 8601, UTC")
]
Seconds = Annotated[int | float, Meta(description="whole where possible")]


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What all JSON payloads share."""

    schema: Literal[1] = 1
    """Version of the wire schema."""
