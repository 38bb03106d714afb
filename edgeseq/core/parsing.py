"""A payload's bytes → numbers and JSON, or the reason why they are none. Never raises on any bytes."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import msgspec

from edgeseq.core.types import Reason

_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_NAMES = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}


class Fault(NamedTuple):
    """Why something was not used."""

    reason: Reason
    detail: str = ""


def parse_plain_number(payload: bytes) -> float | Fault:
    """Read a payload that is decimal text.

    >>> parse_plain_number(b" 21.5 ")
    21.5
    >>> parse_plain_number(b"ON").reason
    <Reason.WRONG_TYPE: 'wrong_type'>
    """
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        return _bad_utf8(error)
    if text.lstrip("+-").lower() in _NOT_FINITE:
        return Fault(Reason.NOT_FINITE, text)
    if _DECIMAL.fullmatch(text) is None:
        return Fault(Reason.WRONG_TYPE, f"no number: {text}" if text else "empty payload")
    number = float(text) + 0.0  # minus zero is no other reading than zero
    return number if math.isfinite(number) else Fault(Reason.NOT_FINITE, text)


def parse_document(payload: bytes) -> dict[str, Any] | Fault:
    """Read a payload that is a JSON object."""
    document = parse_json(payload)
    if isinstance(document, Fault | dict):
        return document
    return Fault(Reason.WRONG_TYPE, f"the payload is {type_name(document)}, not an object")


def parse_json(payload: bytes) -> Any:
    """Read a payload that is JSON of any kind, or say why it is none."""
    try:
        return msgspec.json.decode(payload)
    except RecursionError:
        return Fault(Reason.TOO_DEEP)
    except UnicodeDecodeError as error:
        return _bad_utf8(error)
    except msgspec.DecodeError as error:
        return _parse_odd(payload, error)


def _parse_odd(payload: bytes, error: msgspec.DecodeError) -> Any:
    """Read JSON that msgspec refuses: NaN and numbers beyond float are common, and spoil only their own field."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as utf8_error:
        return _bad_utf8(utf8_error)
    malformed = Fault(Reason.MALFORMED_JSON, str(error))
    if not ("NaN" in text or "Infinity" in text or "out of range" in str(error)):
        return malformed
    try:
        # As floats, since Python refuses to read integers of more than 4300 digits.
        return json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        return Fault(Reason.TOO_DEEP)
    except ValueError:
        return malformed


def _parse_integer(text: str) -> float:
    """Read an integer exactly while it is short: it may be a time in ns."""
    return int(text) if len(text) <= 20 else float(text)


def parse_number(value: object, name: str) -> float | Fault:
    """Take a JSON value as a reading's value. null is a reading known to be missing.

    >>> parse_number(21, "temperature"), parse_number(None, "temperature")
    (21.0, nan)
    >>> parse_number("21", "temperature").detail
    'temperature is a string'
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault(Reason.WRONG_TYPE, f"{name} is {type_name(value)}")
    try:
        number = float(value) + 0.0
    except OverflowError:
        return Fault(Reason.NOT_FINITE, f"{name} is beyond float")
    return number if math.isfinite(number) else Fault(Reason.NOT_FINITE, f"{name} is {number}")


def _bad_utf8(error: UnicodeDecodeError) -> Fault:
    """Tell where the bytes stop being text."""
    return Fault(Reason.BAD_UTF8, f"byte {error.object[error.start]:#04x}")


def type_name(value: object) -> str:
    """Name a JSON type."""
    return _NAMES.get(type(value), "a number")
