"""What decoders of plain text share: a payload that is one number, or a word."""

from __future__ import annotations

from edgeseq.core.parsing import Fault, parse_plain_number
from edgeseq.core.types import Reason


def number_or_text(payload: bytes) -> float | str | Fault:
    """Read a payload as a number, else as the text it is; a fault where it is no text, or a number beyond all."""
    number = parse_plain_number(payload)
    if isinstance(number, Fault) and number.reason is Reason.WRONG_TYPE:
        return payload.decode()
    return number
