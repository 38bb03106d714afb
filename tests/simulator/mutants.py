"""Edits of the source, made at import: each takes one promise away, and the simulator must notice."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """One edit: `old`, which stands exactly once in the module, becomes `new`."""

    module: str
    old: str
    new: str


JOURNAL, STORE, DISK = "edgeseq.adapters.journal", "edgeseq.store", "edgeseq.disk"
DAEMON, COMPOSE, LINK = "edgeseq.daemon", "edgeseq.compose", "edgeseq.adapters.mqtt.link"
OUTBOX = "edgeseq.adapters.mqtt.outbox"

MUTANTS = {
    "commit without sync": Mutant(JOURNAL, "            self._disk.sync(self._file)\n", ""),
    "new journal without sync of its folder": Mutant(
        JOURNAL,
        "disk.rename(spare, path)\n            disk.sync_folder(path.parent)\n",
        "disk.rename(spare, path)\n",
    ),
    "what a later journal took over applied twice": Mutant(
        "edgeseq.recovery", "contents.until(min(taken_over)) if taken_over else contents", "contents"
    ),
    "resumed journal without sync": Mutant(
        JOURNAL, "            disk.truncate(file, contents.length_bytes)\n            disk.sync(file)\n",
        "            disk.truncate(file, contents.length_bytes)\n"
    ),
    "torn tail not cut off": Mutant(JOURNAL, "            disk.truncate(file, contents.length_bytes)\n", ""),
    "journal without check of CRC": Mutant(
        JOURNAL, "if crc32(payload, crc32(data[offset : offset + _FRAME.size])) != check:", "if False:"
    ),
    "retry behind what failed": Mutant(
        JOURNAL,
        "            self._disk.write(self._file, data, start)\n",
        "            self._disk.write(self._file, data, os.fstat(self._file).st_size)\n",
    ),
    "snapshot without sync": Mutant(DISK, "        disk.sync(file)\n    finally:", "        pass\n    finally:"),
    "snapshot renamed before it is written": Mutant(
        DISK, '    temporary = path.with_name(path.name + ".new")\n', "    temporary = path\n"
    ),
    "previous generation not kept": Mutant(
        STORE, "self._remove_before(previous)", "self._remove_before(new)"
    ),
    "journal removed with the snapshot still to come": Mutant(
        STORE, '        reach("journal.begun")\n', "        self._remove_before(new)\n"
    ),
    "acknowledged before the commit": Mutant(
        DAEMON, '        reach("messages.accepted")\n', "        self.link.acknowledge(deliveries)\n"
    ),
    "alerts told before the commit": Mutant(
        DAEMON,
        "        if self.group.has_records:\n            self.group.alerts",
        "        if False:\n            self.group.alerts",
    ),
    "snapshot while records wait": Mutant(
        DAEMON,
        "        self.commit_all()\n        try:\n            self.node.keep",
        "        try:\n            self.node.keep",
    ),
    "not committed": Mutant(
        "edgeseq.commits", "(len(batch.readings) or batch.created):", "batch.created:"
    ),
    "ticks not committed": Mutant(
        DAEMON, "            self.group.take_moment(Record(tick_ns=now_ns), time.monotonic())\n", ""
    ),
    "duplicates not recognised": Mutant(
        "edgeseq.core.pipeline", "return Batch(readings.take(~duplicate)", "return Batch(readings"
    ),
    "identities not in the commit": Mutant(
        "edgeseq.core.pipeline", "    _remember_new(state, readings)\n    return advance", "    return advance"
    ),
    "identities of the node not in the snapshot": Mutant(
        "edgeseq.core.keeping", "    if RECENT in arrays:", "    if RECENT not in arrays:"
    ),
    "stale acknowledgements": Mutant(LINK, " and found.generation == self.generation", ""),
    "outbox not in the snapshot": Mutant(
        DAEMON, "            self.node.keep(self.link.unacknowledged())\n        except StorageError",
        "            self.node.keep([])\n        except StorageError"
    ),
    "alert forgotten when sent": Mutant(
        OUTBOX, "self._in_flight[mid] = out\n", "self._known.discard(_key(out))\n"
    ),
    "alerts of the journal not told again": Mutant(
        COMPOSE, "            waiting[_identity(out)] = out\n    node.backlog", "            pass\n    node.backlog"
    ),
}  # fmt: skip


class _Editing(SourceFileLoader):
    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the edited source; no cache is read or written."""
        source = self.get_data(self.path).decode()
        if source.count(self._mutant.old) != 1:
            raise ImportError(
                f"{self._mutant.old!r} stands {source.count(self._mutant.old)} times in {self.path}"
            )
        code: CodeType = compile(source.replace(self._mutant.old, self._mutant.new), self.path, "exec")
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module to be edited, and no other."""
        if fullname != self._mutant.module:
            return None
        spec: Any = PathFinder.find_spec(fullname, path)
        return importlib.util.spec_from_loader(fullname, _Editing(self._mutant, spec.origin))


def install(name: str) -> None:
    """Let a mutant be imported in place of its module, which must not have been imported yet."""
    mutant = MUTANTS[name]
    if mutant.module in sys.modules:
        raise RuntimeError(f"{mutant.module} has been imported already")
    sys.meta_path.insert(0, _Finder(mutant))
