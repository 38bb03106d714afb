"""The exceptions of edgeseq, sorted by who must act.

EdgeseqError
├─ OperatorError      a human must change something; do not restart   exit 78
│  ├─ ConfigError     the configuration file
│  ├─ LoginError      user and password for the MQTT broker
│  ├─ BundleError     a model bundle
│  └─ InputError      a recording given to a command
├─ EnvironmentFault   wait and retry                                  exit 75 (commands only; the daemon retries)
│  ├─ BrokerError     the MQTT broker
│  └─ StorageError    the disk
└─ InternalError      our bug; crash, systemd restarts                exit 70

Faults of the world (a bad payload, a late reading, a gap) are values, never exceptions.
Exit codes are those of BSD sysexits.h.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED_CHECK = 1
EXIT_USAGE = 64
EXIT_INTERNAL = 70
EXIT_RETRY = 75
EXIT_CONFIG = 78


class EdgeseqError(Exception):
    """Say what went wrong, where, what was found, what was wanted and what to do.

    >>> print(ConfigError("period is not positive", where="edgeseq.toml: streams[0].every",
    ...                   found="0s", wanted="a duration such as 10m", do="set every"))
    period is not positive
      where:  edgeseq.toml: streams[0].every
      found:  0s
      wanted: a duration such as 10m
      do:     set every
    """

    exit_code = EXIT_INTERNAL

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        found: str | None = None,
        wanted: str | None = None,
        do: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.wanted = wanted
        self.do = do
        super().__init__(what)

    def __str__(self) -> str:
        details = {"where": self.where, "found": self.found, "wanted": self.wanted, "do": self.do}
        lines = [f"  {name + ':':<8}{text}" for name, text in details.items() if text is not None]
        return "\n".join([self.what, *lines])


class OperatorError(EdgeseqError):
    """A human must change something; restarting does not help."""

    exit_code = EXIT_CONFIG


class ConfigError(OperatorError):
    """The configuration cannot be used."""


class LoginError(OperatorError):
    """The MQTT broker does not know this user, or not by this password."""


class BundleError(OperatorError):
    """A bundle cannot be trusted, read or run."""


class InputError(OperatorError):
    """A recording cannot be read or used."""


class EnvironmentFault(EdgeseqError):
    """Something outside failed; waiting and retrying may help."""

    exit_code = EXIT_RETRY


class BrokerError(EnvironmentFault):
    """The MQTT broker cannot be reached or refuses us."""


class StorageError(EnvironmentFault):
    """The disk refuses to keep what was promised to be kept."""


class InternalError(EdgeseqError):
    """A bug of edgeseq: crash, and let systemd restart."""

    exit_code = EXIT_INTERNAL
