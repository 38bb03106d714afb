"""The bundles that serve and that may serve: the folder, the configured files, and the index that names them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edgeseq.adapters.log import Log
from edgeseq.bundle import Bundle
from edgeseq.bundle.release import Present, Release, refusal
from edgeseq.compose import Node
from edgeseq.config.resolve import Resolved
from edgeseq.core.forecast import Stepper
from edgeseq.core.types import Outgoing
from edgeseq.disk import Disk
from edgeseq.errors import BundleError, StorageError
from edgeseq.models import read_bundles, variant_of
from edgeseq.store import make_folder
from edgeseq.updates.slots import (
    INDEX,
    Index,
    Slot,
    folder_of,
    keep_index,
    load_index,
    path_of,
    sound,
    tidy,
)

RETRY_S = 60.0
"""After a disk has refused."""


MEND_INDEX = "bring it back from a copy, or remove it to take any release again; then restart edgeseq"


class Host(Protocol):
    """What updates need of the daemon."""

    node: Node

    @property
    def log(self) -> Log:
        """Write a log line."""

    def send(self, *outgoing: Outgoing) -> None:
        """Hand over messages."""

    def renew(self, resolved: Resolved, settle: Callable[[], None]) -> bool:
        """Let other bundles serve."""


class Shelf:
    """What lies in the folder of updates, and what of it serves."""

    def __init__(self, host: Host, disk: Disk) -> None:
        self.host, self.disk = host, disk
        self.folder = folder_of(host.node.resolved)
        make_folder(self.folder)
        self.configured = host.node.resolved.configured
        self.is_index_lost = False
        """It cannot be read: nobody knows which releases are old. Nothing is taken, and nothing is removed."""
        self.index = self._load()
        self.tidy()

    def _load(self) -> Index:
        """Read the index, without what no longer holds."""
        found = load_index(self.folder, self.host.log)
        if found is None:
            self.is_index_lost = True
            return Index()
        index = sound(found, self.configured, self.folder, self.host.log)
        if index != found:
            try:
                keep_index(self.disk, self.folder, index)
            except StorageError as fault:  # it is found again at the next start
                self.host.log("storage.failed", error=str(fault), retry_s=RETRY_S)
        return index

    def keep(self, key: str, slot: Slot) -> None:
        """Replace the index. Raises StorageError; then nothing has changed."""
        index = Index({**self.index.slots, key: slot})
        keep_index(self.disk, self.folder, index)
        self.index = index

    def tidy(self) -> None:
        """Remove what is no longer named; what cannot be removed is tried again at the next start."""
        if self.is_index_lost:
            return
        with suppress(OSError):
            tidy(self.folder, self.index)

    def key_of(self, release: Release) -> str | None:
        """Find the one configured bundle of a release's file name."""
        found = [key for key in self.configured if Path(key).name == release.bundle]
        return found[0] if len(found) == 1 else None

    def taken(self, release_digest: str) -> Slot | None:
        """Find where a release was the last that was taken."""
        return next((slot for slot in self.index.slots.values() if slot.taken == release_digest), None)

    def refusal(self, release: Release) -> str | None:
        """Say why a release must not be installed here, before its signature is checked; None: it may."""
        if self.is_index_lost:
            return (
                f"{self.folder / INDEX} cannot be read, so nobody knows which releases are old: {MEND_INDEX}"
            )
        if (key := self.key_of(release)) is None:
            present = ", ".join(sorted({Path(key).name for key in self.configured})) or "none"
            return f"no bundle {release.bundle} is configured here, or several are; configured: {present}"
        slot = self.index.slots.get(key)
        node = self.host.node.resolved.config.node.name
        return refusal(release, Present(node, self._now_s(), slot.highest if slot else 0))

    def _now_s(self) -> float:
        """Tell the time; a clock that was set back is no earlier than the last update."""
        try:
            return max(time.time(), (self.folder / INDEX).stat().st_mtime)
        except OSError:
            return time.time()

    def open(self, key: str, digest: str | None) -> tuple[Stepper, Bundle]:
        """Verify and prove the bundle behind a digest as any other. Raises BundleError."""
        from edgeseq.adapters.interpreter import open_proven  # heavy

        resolved = self.serving(key, digest)
        ((_, bundle),) = read_bundles(replace(resolved, bundles={key: resolved.bundles[key]}))
        variant, _ = variant_of(key, bundle, resolved, resolved.state_dir)
        runtime = resolved.config.bundles.runtime
        stepper = open_proven(bundle, runtime, variant, cache_folder=resolved.state_dir)
        return stepper, bundle

    def open_new(self, key: str, digest: str) -> Bundle:
        """Open a bundle that may come to serve; refuse another horizon, with which all streams would begin anew.

        Raises:
            BundleError: it cannot serve here.
        """
        _, bundle = self.open(key, digest)
        present = self.host.node.steppers[key].horizon
        if bundle.manifest.horizon != present:
            found = f"{bundle.manifest.horizon}, not {present} steps"
            raise BundleError("it has another horizon", found=found)
        return bundle

    def serving(self, key: str, digest: str | None) -> Resolved:
        """Give the configuration with the file behind a digest as the one that serves."""
        resolved = self.host.node.resolved
        path = path_of(self.configured[key], self.folder, digest)
        return replace(resolved, bundles={**resolved.bundles, key: path})
