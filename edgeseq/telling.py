"""Where a node's metrics go: to who asks, and into a file. What belongs to them is imported where they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseq.adapters.log import Log
from edgeseq.config.resolve import Resolved

if TYPE_CHECKING:
    from edgeseq.adapters.scrape import Exporter
    from edgeseq.core.exposition import Figures


class Telling:
    """Where the metrics go. With neither address nor file nothing is imported, opened or computed."""

    def __init__(self, resolved: Resolved, put: Callable[[object], None], log: Log) -> None:
        """Begin to listen, where that is configured. Raises ConfigError."""
        self._put = put
        self.log = log
        self._is_failing = False
        self._exporter: Exporter | None = None
        self.textfile = resolved.metrics_textfile
        self.follow(resolved)

    def follow(self, resolved: Resolved) -> None:
        """Take a new configuration into force. Raises ConfigError, and then nothing has changed."""
        old = self._exporter
        if (old.address if old else None) != resolved.metrics_listen:
            self._exporter = self._open(resolved)
            if old:
                old.close()
        self.textfile = resolved.metrics_textfile

    def _open(self, resolved: Resolved) -> Exporter | None:
        if resolved.metrics_listen is None:
            return None
        from edgeseq.adapters.scrape import (
            Exporter,
        )  # Python's HTTP server is some 2 MB, of no use without it

        return Exporter(resolved.metrics_listen, self._put)

    def answer(self, told: Figures, *, is_openmetrics: bool) -> None:
        """Answer who asks."""
        from edgeseq.core.exposition import OPENMETRICS, PROMETHEUS, expose
        from edgeseq.measures import CATALOGUE

        if self._exporter:
            text = expose(CATALOGUE, told, is_openmetrics=is_openmetrics)
            self._exporter.give(OPENMETRICS if is_openmetrics else PROMETHEUS, text)

    def write(self, told: Figures) -> None:
        """Write the file; where that cannot be done the node goes on, and says so once."""
        if self.textfile is None:
            return
        from edgeseq.adapters.textfile import write_textfile
        from edgeseq.core.exposition import expose
        from edgeseq.measures import CATALOGUE

        try:
            write_textfile(self.textfile, expose(CATALOGUE, told))
        except OSError as fault:
            if not self._is_failing:
                do = "let this user write to the file's folder, or set another [metrics] textfile"
                self.log("metrics.failed", path=str(self.textfile), error=fault.strerror or str(fault), do=do)
            self._is_failing = True
        else:
            self._is_failing = False

    def close(self) -> None:
        """Listen no longer."""
        if self._exporter:
            self._exporter.close()
            self._exporter = None
