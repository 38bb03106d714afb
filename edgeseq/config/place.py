"""Where in the file something is wrong, and durations as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeseq.core.durations import WANTED, format_duration, parse_duration
from edgeseq.errors import ConfigError

_UNIT_WORDS = tuple(
    (re.compile(rf"(?<=[0-9])\s*(?:{words})(?![a-z])"), unit)
    for words, unit in (
        ("ms|msecs?|milliseconds?", "ms"),
        ("s|secs?|seconds?", "s"),
        ("m|mins?|minutes?", "m"),
        ("h|hrs?|hours?", "h"),
        ("d|days?", "d"),
        ("w|wks?|weeks?", "w"),
    )
)


@dataclass(frozen=True, slots=True)
class Place:
    """A table of the file, to say where something is wrong."""

    file: str
    table: str

    def fault(
        self,
        what: str,
        key: str | None = None,
        *,
        found: object = None,
        wanted: str | None = None,
        do: str | None = None,
    ) -> ConfigError:
        """Make the error of a key of this table."""
        where = f"{self.file}: {self.table}{f'.{key}' if key else ''}"
        return ConfigError(
            what, where=where, found=None if found is None else str(found), wanted=wanted, do=do
        )

    def duration_ns(self, key: str, text: str) -> int:
        """Read a duration."""
        duration_ns = parse_duration(text)
        if duration_ns is None:
            meant = _meant(text)
            do = f'did you mean "{meant}"?' if meant else None
            if parse_duration(f"{text}s"):
                do = f'add a unit, such as "{text}s"'
            raise self.fault(f"{key} is no duration", key, found=text, wanted=WANTED, do=do)
        return duration_ns

    def optional_ns(self, key: str, text: str | None) -> int:
        """Read a duration; 0 where it is not given."""
        return 0 if text is None else self.duration_ns(key, text)


def _meant(text: str) -> str | None:
    """Guess the duration that was meant: units written out, blanks, capitals.

    >>> _meant("10 min"), _meant("1 Hour 30 minutes"), _meant("often"), _meant("0 s")
    ('10m', '1h30m', None, None)
    """
    known = text.casefold().replace(",", " ").replace(" and ", " ")
    for pattern, unit in _UNIT_WORDS:
        known = pattern.sub(unit, known)
    duration_ns = parse_duration("".join(known.split()))
    return None if duration_ns is None else format_duration(duration_ns)
