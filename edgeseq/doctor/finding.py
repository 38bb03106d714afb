"""What a check found."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseq.errors import EdgeseqError

Verdict = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    verdict: Verdict
    """ok; warn: it works, but something may be lost; fail: a promise cannot be kept."""
    check: str
    """What was looked at."""
    found: str
    wanted: str = ""
    do: str = ""

    def __str__(self) -> str:
        """Write it for a person.

        >>> print(Finding("warn", "clock", "not synchronised", "a clock set by NTP", "start chrony"))
        warn  clock: not synchronised
              wanted: a clock set by NTP
              do:     start chrony
        """
        rest = [("wanted", self.wanted), ("do", self.do)]
        lines = [f"      {name + ':':<8}{text}" for name, text in rest if text]
        return "\n".join([f"{self.verdict:<6}{self.check}: {self.found}", *lines])


def ok(check: str, found: str) -> Finding:
    """Say that all is well."""
    return Finding("ok", check, found)


def warn(check: str, found: str, wanted: str, do: str) -> Finding:
    """Say what may be lost."""
    return Finding("warn", check, found, wanted, do)


def fail(check: str, found: str, wanted: str, do: str) -> Finding:
    """Say which promise cannot be kept."""
    return Finding("fail", check, found, wanted, do)


def of_fault(check: str, fault: EdgeseqError) -> Finding:
    """Turn an error into a finding."""
    found = [fault.what, *(text for text in (fault.where, fault.found) if text)]
    return fail(check, ": ".join(found), fault.wanted or "", fault.do or "")
