"""Messages as lines of JSON, which `edgeseq.capture` reads back: every byte of a payload comes back."""

from __future__ import annotations

from typing import Any

import msgspec

from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message

_BREAKS = (b"\n", b"\r")


def to_line(message: Message) -> bytes:
    r"""Write a message as a line: JSON as it is, text as text, anything else as hexadecimal digits.

    >>> to_line(Message("a", b'{"t":1.50}', 10**9))
    b'{"topic":"a","payload":{"t":1.50},"received":"1970-01-01T00:00:01Z"}\n'
    """
    line: dict[str, Any] = {"topic": message.topic, **_payload(message.payload)}
    line["received"] = format_instant(message.received_ns)
    if message.retained:
        line["retained"] = True
    return msgspec.json.encode(line) + b"\n"


def _payload(payload: bytes) -> dict[str, Any]:
    """Write a payload so that its bytes come back."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"payload_hex": payload.hex()}
    is_raw = (
        payload[:1] not in (b'"', b"")
        and payload == payload.strip()
        and not any(b in payload for b in _BREAKS)
    )
    return {"payload": msgspec.Raw(payload) if is_raw and _is_json(payload) else text}


def _is_json(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
