"""One target under atheris, in an environment of its own: python -m tests.fuzz.child TARGET RUNS FOLDER [SECONDS].

A failure does not end the run: it is kept once for each place where it came from, with the inputs since the check
was made anew, and counted. Memory and the time of one input are bounded; a run that dies of them has no result.
"""

from __future__ import annotations

import importlib
import json
import resource
import string
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

MEMORY_BYTES = 3 * 2**30
STORY = 1024
"""Inputs after which a check begins anew: so many at most are needed to see a failure again."""


def main() -> None:
    """Fuzz, and leave `result.json` in the folder."""
    name, runs, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with atheris.instrument_imports(include=[*TRACED.get(name, ("edgeseq", "tomllib"))]):
        target = importlib.import_module(f"tests.fuzz.{name}")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    tokens = folder / "tokens.dict"
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in target.TOKENS), encoding="ascii")
    runner = Runner(target.new, runs, folder)
    options = [f"-runs={runs}", f"-dict={tokens}", "-timeout=60", "-rss_limit_mb=2048", "-max_len=12000"]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", "-seed=1", str(corpus)], runner.run)
    atheris.Fuzz()


READERS = (
    *("decode", "usual", "careful", "families", "known_items", "rows", "listeners", "decoders"),
    *("parsing", "registry", "instants", "identity", "topics", "known"),
)
TRACED = {
    name: [f"edgeseq.core.{module}" for module in READERS] for name in ("payload", "sparkplug", "influx")
}
"""Target → modules whose branches guide it, where not all: what follows the readers is slow enough untraced."""

TELL_EVERY = 10_000
PLAIN = frozenset(string.ascii_letters + string.digits)
"""Characters that stand for themselves in libFuzzer's dictionary."""


class Runner:
    """Counts executions and keeps what fails."""

    def __init__(self, new: Callable[[], Callable[[bytes], None]], runs: int, folder: Path) -> None:
        self.new, self.runs, self.folder = new, runs, folder
        self.done = 0
        self.failures: dict[str, int] = {}
        self.story: list[bytes] = []
        self.begun_s = time.monotonic()

    def run(self, data: bytes) -> None:
        """Take one input."""
        if len(self.story) % STORY == 0:
            self.check, self.story = self.new(), []
        self.story.append(data)
        try:
            self.check(data)
        except Exception as fault:  # noqa: BLE001 - what must not come out is what is looked for
            self.keep(fault)
        self.done += 1
        if self.done % TELL_EVERY == 0 or self.done >= self.runs:
            self.tell()

    def keep(self, fault: Exception) -> None:
        """Note a failure; the first of its kind with the inputs that led to it."""
        place = traceback.extract_tb(fault.__traceback__)[-1]
        kind = f"{type(fault).__name__} at {Path(place.filename).name}:{place.lineno}"
        if kind not in self.failures:
            text = "\n".join([*traceback.format_exception(fault), *map(repr, self.story)])
            (self.folder / f"failure-{len(self.failures)}.txt").write_text(text, encoding="utf-8")
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self.story = []

    def tell(self) -> None:
        """Write the figures."""
        result = {
            "executions": self.done,
            "crashes": len(self.failures),
            "failures": self.failures,
            "minutes": round((time.monotonic() - self.begun_s) / 60, 2),
            "corpus": len(list((self.folder / "corpus").iterdir())),
        }
        (self.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _escaped(token: str) -> str:
    return "".join(chr(b) if chr(b) in PLAIN else f"\\x{b:02x}" for b in token.encode("latin-1"))


if __name__ == "__main__":
    main()
