"""Edits of the source, made at import: each takes one promise away, and the simulator must notice."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """`old`, which stands exactly once in the module, becomes `new`."""

    module: str
    old: str
    new: str


JOURNAL, SNAPSHOT, DISK = "edgeseq.adapters.journal", "edgeseq.adapters.snapshot", "edgeseq.disk"
STORE, RECOVERY, RESTORE, COMMITS = "edgeseq.store", "edgeseq.recovery", "edgeseq.restore", "edgeseq.commits"
DAEMON, LINK, OUTBOX = "edgeseq.daemon.loop", "edgeseq.adapters.mqtt.link", "edgeseq.adapters.mqtt.outbox"
PIPELINE, INTAKE, KEEPING = "edgeseq.core.pipeline", "edgeseq.core.intake", "edgeseq.core.keeping"

MUTANTS: dict[str, tuple[Edit, ...]] = {
    # --- journal
    "commit without sync": (Edit(JOURNAL, "            self._disk.sync(self._file)\n", ""),),
    "new journal without sync": (
        Edit(
            JOURNAL,
            "            disk.sync(file)\n            disk.rename(spare, path)\n",
            "            disk.rename(spare, path)\n",
        ),
    ),
    "new journal renamed before sync": (
        Edit(
            JOURNAL,
            "            disk.sync(file)\n            disk.rename(spare, path)\n",
            "            disk.rename(spare, path)\n            disk.sync(file)\n",
        ),
    ),
    "new journal without sync of its folder": (
        Edit(
            JOURNAL,
            "disk.rename(spare, path)\n            disk.sync_folder(path.parent)\n",
            "disk.rename(spare, path)\n",
        ),
    ),
    "resumed journal without sync": (
        Edit(
            JOURNAL,
            "            disk.sync(file)\n            disk.sync_folder(path.parent)\n        except",
            "            disk.sync_folder(path.parent)\n        except",
        ),
    ),
    "resumed journal without sync of its folder": (
        Edit(
            JOURNAL,
            "            disk.sync(file)\n            disk.sync_folder(path.parent)\n        except",
            "            disk.sync(file)\n        except",
        ),
    ),
    "resumed journal trusts the page cache": (
        Edit(
            JOURNAL,
            "                disk.write(file, os.pread(file, contents.length_bytes - start, start), start)\n",
            "                pass\n",
        ),
    ),
    "what stands behind a resumed journal not cut off": (
        Edit(JOURNAL, "            disk.truncate(file, contents.length_bytes)\n", ""),
    ),
    "journal without check of CRC": (
        Edit(JOURNAL, "if crc32(payload, crc32(data[offset : offset + _FRAME.size])) != check:", "if False:"),
    ),
    # Either alone is enough: an older generation has smaller numbers, and this one only its own.
    "frames of any generation and number": (
        Edit(
            JOURNAL,
            "if marker != _MARKER or found != generation & 0xFFFFFFFF or end > len(data):",
            "if marker != _MARKER or end > len(data):",
        ),
        Edit(JOURNAL, "if found is not None and found[0] == number:", "if found is not None:"),
    ),
    "retry behind what failed": (
        Edit(
            JOURNAL,
            "            self._disk.write(self._file, data, start)\n",
            "            self._disk.write(self._file, data, os.fstat(self._file).st_size)\n",
        ),
    ),
    # To write the frame again would be enough on this disk; on others it is not (Rebello et al. 2020).
    "sync trusted after one that failed": (
        Edit(STORE, "        if self.journal.is_suspect:\n", "        if False:\n"),
        Edit(
            JOURNAL,
            "            self._disk.write(self._file, data, start)\n",
            "            self.is_suspect or self._disk.write(self._file, data, start)\n",
        ),
    ),
    "what a later journal took over applied twice": (
        Edit(RECOVERY, "contents.until(min(taken_over)) if taken_over else contents", "contents"),
    ),
    # --- snapshots and generations
    "snapshot without sync": (
        Edit(DISK, "        disk.sync(file)\n    finally:", "        pass\n    finally:"),
    ),
    "snapshot renamed before sync": (
        Edit(
            DISK,
            "        disk.sync(file)\n    finally:",
            "        disk.rename(temporary, path)\n        disk.sync(file)\n    finally:",
        ),
        Edit(DISK, "    disk.rename(temporary, path)\n    disk.sync_folder", "    disk.sync_folder"),
    ),
    "snapshot without sync of its folder": (
        Edit(DISK, "    disk.sync_folder(path.parent)\n    reach", "    reach"),
    ),
    "snapshot written in place": (
        Edit(DISK, '    temporary = path.with_name(path.name + ".new")\n', "    temporary = path\n"),
        Edit(STORE, "self._remove_before(previous)", "self._remove_before(new)"),
    ),
    "snapshot without check of CRC": (
        Edit(SNAPSHOT, " or check != crc32(memoryview(data)[_PREFIX.size :])", ""),
    ),
    "previous generation not kept": (
        Edit(STORE, "self._remove_before(previous)", "self._remove_before(new)"),
    ),
    "journal removed with the snapshot still to come": (
        Edit(STORE, '        reach("journal.begun")\n', "        self._remove_before(new)\n"),
    ),
    "snapshot while records wait": (
        Edit(
            DAEMON,
            "        self.commit_all()\n        try:\n            self.node.keep",
            "        try:\n            self.node.keep",
        ),
    ),
    "identities of the node not in the snapshot": (
        Edit(KEEPING, "    if RECENT in arrays:", "    if RECENT not in arrays:"),
    ),
    "outbox not in the snapshot": (
        Edit(
            DAEMON,
            "            self.node.keep(self.link.unacknowledged())\n        except StorageError",
            "            self.node.keep([])\n        except StorageError",
        ),
    ),
    # --- commits and acknowledgements
    "acknowledged before the commit": (
        Edit(DAEMON, '        reach("messages.accepted")\n', "        self.link.acknowledge(deliveries)\n"),
    ),
    "acknowledged before the group commit": (
        Edit(
            DAEMON,
            "            self.write(self.group.records())\n",
            "            self.link.acknowledge(self.group.deliveries)\n            self.write(self.group.records())\n",
        ),
    ),
    "alerts told before the commit": (
        Edit(
            DAEMON,
            "        if self.group.has_records:\n            self.group.alerts",
            "        if False:\n            self.group.alerts",
        ),
    ),
    "strict tells before the commit": (
        Edit(DAEMON, "        self.commit_if_strict()\n        late =", "        late ="),
    ),
    "readings not committed": (
        Edit(COMMITS, "(len(batch.readings) or batch.created or batch.heard):", "batch.created:"),
    ),
    "ticks not committed": (
        Edit(DAEMON, "            self.group.take_moment(Record(tick_ns=now_ns), time.monotonic())\n", ""),
    ),
    "resumptions not committed": (
        Edit(
            DAEMON,
            "        self.group.take_moment(Record(resumed_ns=now_ns, session=session), time.monotonic())\n",
            "",
        ),
    ),
    "records out of order": (
        Edit(
            COMMITS,
            "            self._begin(now_s)\n            self._close_run()\n",
            "            self._begin(now_s)\n",
        ),
    ),
    "stale acknowledgements": (Edit(LINK, " and found.generation == self.generation", ""),),
    # --- identities
    "duplicates not recognised": (
        Edit(
            INTAKE,
            "return Batch(readings.take(~duplicate) if again else readings",
            "return Batch(readings",
        ),
    ),
    "identities not in the commit": (
        Edit(PIPELINE, "    remember_new(state, readings)\n    return advance", "    return advance"),
    ),
    "packet ids of all sessions alike": (
        Edit(
            INTAKE,
            "decode(state.registry, state.options, messages, state.session)",
            "decode(state.registry, state.options, messages)",
        ),
    ),
    # --- alerts
    "alert forgotten when sent": (
        Edit(OUTBOX, "self._in_flight[mid] = out\n", "self._known.discard(_key(out))\n"),
    ),
    "alerts of the journal not told again": (
        Edit(
            RESTORE,
            "        for out in node.render(_keep_newest(_recover(node.state, item), newest)):\n"
            "            waiting[_identity(out)] = out\n",
            "        node.render(_keep_newest(_recover(node.state, item), newest))\n",
        ),
    ),
}


class _Editing(SourceFileLoader):
    def __init__(self, module: str, edits: Sequence[Edit], path: str) -> None:
        super().__init__(module, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        """Compile the edited source; no cache is read or written."""
        source = self.get_data(self.path).decode()
        for edit in self._edits:
            if source.count(edit.old) != 1:
                raise ImportError(f"{edit.old!r} stands {source.count(edit.old)} times in {self.path}")
            source = source.replace(edit.old, edit.new)
        code: CodeType = compile(source, self.path, "exec")
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the modules to be edited, and no other."""
        edits = [edit for edit in self._edits if edit.module == fullname]
        if not edits:
            return None
        spec: Any = PathFinder.find_spec(fullname, path)
        return importlib.util.spec_from_loader(fullname, _Editing(fullname, edits, spec.origin))


def install(name: str) -> None:
    """Let a mutant be imported in place of its modules, which must not have been imported yet."""
    edits = MUTANTS[name]
    imported = {edit.module for edit in edits} & sys.modules.keys()
    if imported:
        raise RuntimeError(f"{imported} have been imported already")
    sys.meta_path.insert(0, _Finder(edits))
