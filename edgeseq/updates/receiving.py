"""What is sent: releases and chunks over MQTT, or both as files in the folder `drop`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle.release import MAX_RELEASE_BYTES, Release, parse_release
from edgeseq.core.bridge import update_filters
from edgeseq.core.payloads import UpdateStatePayload
from edgeseq.core.types import Message
from edgeseq.disk import storage_faults
from edgeseq.errors import BundleError
from edgeseq.failpoint import reach
from edgeseq.updates.parcel import Parcel, forget
from edgeseq.updates.shelf import Shelf
from edgeseq.updates.slots import file_of
from edgeseq.updates.telling import is_clock_synchronised, tell, tell_state

MOST_CHECKED_EVERY_S = 2.0
"""A signature is checked in a child process: nobody shall keep the node busy with others' releases."""
MOST_REFUSED = 100
"""Releases whose refusal is remembered."""
ALIVE_S = 60.0
"""After its last chunk a release is still being sent: another one has to wait."""
ABANDONED_S = 600.0
"""After its last chunk nobody sends it any more: dropped files get their turn. What came stays on the disk."""
DROP = "drop"
"""Folder for releases and bundles that come as files."""

Stage = Callable[[Release, str], None]
"""Takes a bundle that lies in the folder, and the digest of its release. Raises BundleError."""


class Receiving:
    """The release that is being received, and those that were refused. Methods raise StorageError and OSError."""

    def __init__(self, shelf: Shelf, stage: Stage, before: Receiving | None) -> None:
        self._shelf, self._stage = shelf, stage
        self.parcel: Parcel | None = before.parcel if before else None
        self.release_digest: str = before.release_digest if before else ""
        self.refused: dict[str, str] = {}
        """Release → why; asked anew after a reload, which may have brought a key."""
        self._checked_s = float("-inf")
        self.heard_s: float = before.heard_s if before else float("-inf")
        """When it was last heard of the present release (monotonic)."""
        filters = update_filters(shelf.host.node.context.root)
        self._release_topic, self.above = filters[0], filters[0].rpartition("/")[0] + "/"

    def take(self, messages: list[Message]) -> None:
        """Take releases and chunks; a bundle that is whole is staged."""
        is_new = [self._take(message) for message in messages]
        if self.parcel and any(is_new):
            self.heard_s = time.monotonic()
            self.parcel.note()
            if self.parcel.is_complete:
                self._assemble(self.parcel)
            self._tell_state()

    def _take(self, message: Message) -> bool:
        if message.topic == self._release_topic:
            self.take_release(message.payload)
            return False
        levels = message.topic[len(self.above) :].split("/")
        parcel = self.parcel
        if parcel is None or len(levels) != 3 or levels[1] != parcel.release.digest[:16]:
            return False
        number = levels[2]
        is_number = number.isascii() and number.isdigit() and len(number) < 10
        return is_number and parcel.take(int(number), message.payload)

    def take_release(self, data: bytes) -> None:
        """Begin to receive what a release names, or say why not; one that was taken before is answered only."""
        if not 0 < len(data) <= MAX_RELEASE_BYTES:
            return
        digest = hashlib.sha256(data).hexdigest()
        if digest == self.release_digest or digest in self.refused:
            self._go_on()
            self._tell_state(digest)
            return
        if slot := self._shelf.taken(digest):
            tell_state(self._shelf.host, UpdateStatePayload(release=digest, state=slot.outcome, reason=None))
            return
        now_s = time.monotonic()
        if self.parcel and now_s - self.heard_s < ALIVE_S:
            self._tell_busy(digest)
            return
        if now_s - self._checked_s < MOST_CHECKED_EVERY_S:
            return
        try:
            release = parse_release(data)
            reason = self._shelf.refusal(release)
            if reason is None:
                self._checked_s = now_s
                self._verify(data)
        except BundleError as fault:
            self._refuse(digest, None, _told(fault))
            return
        if reason is not None:
            self._refuse(digest, release, reason)
            return
        self.parcel, self.release_digest = Parcel(self._shelf.folder, release, self._shelf.disk), digest
        self.heard_s = now_s
        self._tell("received", release, is_clock_synchronised=is_clock_synchronised())
        self._tell_state()

    def give_up(self) -> None:
        """Let go of a release that nobody sends any more. Pushed again, it goes on where it ended."""
        if self.parcel is None or time.monotonic() - self.heard_s < ABANDONED_S:
            return
        reason = f"{self.parcel.lacking} of {self.parcel.release.chunks} chunks did not come: push it again"
        self._tell("refused", self.parcel.release, reason=reason)
        self.parcel, self.release_digest = None, ""

    def _tell_busy(self, digest: str) -> None:
        """Send a second one away, for now: two that take turns would each undo what came of the other."""
        reason = (
            f"another release is being sent; push again when it is through, or {ALIVE_S:.0f} s after its end"
        )
        payload = UpdateStatePayload(release=digest, state="refused", reason=reason)
        tell_state(self._shelf.host, payload)

    def _go_on(self) -> None:
        """Try again what a disk refused after the last chunk: nobody sends any more of what is all there."""
        if self.parcel and self.parcel.is_complete:
            self.parcel = Parcel(
                self._shelf.folder, self.parcel.release, self._shelf.disk
            )  # as far as was kept
            if self.parcel.is_complete:
                self._assemble(self.parcel)

    def _verify(self, data: bytes) -> None:
        """Check the signature, in a child process."""
        path = self._shelf.folder / "incoming.release"
        with storage_faults("a release cannot be kept", self._shelf.folder):
            path.write_bytes(data)
        found = verified_digests([path], self._shelf.host.node.resolved.trusted_keys, allow_unsigned=False)
        if found[path] != hashlib.sha256(data).hexdigest():
            raise BundleError("the release changed while it was verified", found=found[path])

    def _assemble(self, parcel: Parcel) -> None:
        """Verify a whole bundle, and hand it over to be judged."""
        release, received = parcel.release, parcel.finish()
        if not received.is_sound:
            self._tell("refused", release, reason="the chunks do not make the file that was signed")
            return
        digest = self.release_digest
        if (reason := self._shelf.refusal(release)) is not None:
            self._drop_parcel()
            self._refuse(digest, release, reason)
            return
        reach("update.assembled")
        path = file_of(self._shelf.folder, release.digest)
        with storage_faults("a bundle cannot be kept", self._shelf.folder):
            self._shelf.disk.rename(received.path, path)
            self._shelf.disk.sync_folder(self._shelf.folder)
        reach("update.placed")
        self._drop_parcel()
        try:
            self._stage(release, digest)
        except BundleError as fault:
            self._refuse(digest, release, _told(fault))
            self._shelf.tidy()

    def _drop_parcel(self) -> None:
        self.parcel, self.release_digest = None, ""
        forget(self._shelf.folder)

    def take_dropped(self) -> None:
        """Take the first release that lies in the folder `drop`, beside its bundle of the same name."""
        for path in sorted((self._shelf.folder / DROP).glob("*.release")):
            bundle = path.with_suffix(".edgeseq")
            data = path.read_bytes()[: MAX_RELEASE_BYTES + 1]
            self.take_release(data)
            if self.parcel is None:
                digest = hashlib.sha256(data).hexdigest()
                if digest in self.refused or self._shelf.taken(digest):
                    _remove(path, bundle)
                continue
            parcel, size = self.parcel, self.parcel.release.chunk_bytes
            if not bundle.is_file() or bundle.stat().st_size != parcel.release.size_bytes:
                self.parcel, self.release_digest = None, ""  # it may still be on its way
                continue
            content = bundle.read_bytes()
            try:
                for number in range(parcel.release.chunks):
                    parcel.take(number, content[number * size : (number + 1) * size])
                if parcel.is_complete:
                    self._assemble(parcel)
            finally:  # where a disk refuses, the files are taken again later
                self._drop_parcel()
            _remove(path, bundle)
            return

    def _refuse(self, digest: str, release: Release | None, reason: str) -> None:
        if len(self.refused) > MOST_REFUSED:
            self.refused.clear()
        self.refused[digest] = reason
        self._tell("refused", release, reason=reason)
        self._tell_state(digest)

    def _tell(self, what: str, release: Release | None, **fields: str | int | bool) -> None:
        """Tell what became of a release."""
        if release:
            fields |= {"bundle": release.bundle, "sequence": release.sequence, "label": release.label}
        tell(self._shelf.host, what, fields)

    def _tell_state(self, digest: str = "") -> None:
        """Tell whoever sends how far the present release has come, or why one was refused."""
        if digest in self.refused:
            payload = UpdateStatePayload(release=digest, state="refused", reason=self.refused[digest])
        elif self.parcel and digest in ("", self.release_digest):
            payload = UpdateStatePayload(
                release=self.release_digest, state="receiving", chunks=self.parcel.release.chunks,
                lacking=self.parcel.lacking, missing=self.parcel.missing(),
            )  # fmt: skip
        else:
            return
        tell_state(self._shelf.host, payload)


def _told(fault: BundleError) -> str:
    return f"{fault.what}: {fault.found}"


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
