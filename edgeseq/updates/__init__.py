"""Bundles over the air: received in chunks, verified, judged in the shadow, promoted, and taken back where worse.

    release (signed) ─▶ chunks ─▶ whole, synced ─▶ signature, golden roll-out ─▶ index: shadowing
        ─▶ better than the present model on the node's own streams ─▶ index: serving, watching
        ─▶ not worse for as long again ─▶ index: settled

The index is replaced as a whole (`slots`): a kill anywhere leaves what served before or what serves now. The comparison
(`shadow`) is kept nowhere: after a restart it begins anew. Off unless [node] updates = true.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgeseq.adapters.log import Log
from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle import Bundle
from edgeseq.bundle.release import MAX_RELEASE_BYTES, Present, Release, parse_release, refusal
from edgeseq.compose import Node, read_bundles, variant_of
from edgeseq.config.resolve import Resolved
from edgeseq.core.bridge import bridge_event, update_filters, update_state
from edgeseq.core.comparison import Comparison, Verdict
from edgeseq.core.forecast import Stepper
from edgeseq.core.payloads import EventPayload, UpdateStatePayload
from edgeseq.core.types import Message, Outgoing
from edgeseq.disk import Disk, storage_faults
from edgeseq.errors import BundleError, StorageError
from edgeseq.failpoint import reach
from edgeseq.reporting import info
from edgeseq.store import make_folder
from edgeseq.updates.parcel import Parcel, forget
from edgeseq.updates.shadow import Trial
from edgeseq.updates.slots import (
    INDEX,
    Index,
    Slot,
    digest_of,
    file_of,
    folder_of,
    keep_index,
    load_index,
    path_of,
    sound,
    tidy,
)
from edgeseq.updates.telling import is_clock_synchronised, paired_test, told_slots

MOST_CHECKED_EVERY_S = 2.0
"""A signature is checked in a child process: nobody shall keep the node busy with others' releases."""
RETRY_S = 60.0
DROP = "drop"
"""Folder for releases and bundles that come as files."""
DROP_EVERY_S = 15.0


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


class Updates:
    """What is received, and what is judged."""

    def __init__(self, host: Host, before: Updates | None = None, disk: Disk | None = None) -> None:
        resolved = host.node.resolved
        self.host, self.disk, self.folder = host, disk or Disk(), folder_of(resolved)
        make_folder(self.folder)
        self.configured = resolved.configured
        self.index = self._load()
        self._tidy()
        self.parcel: Parcel | None = before.parcel if before else None
        self.release_digest: str = before.release_digest if before else ""
        self.refused: dict[str, str] = {}
        """Release → why; asked anew after a reload, which may have brought a key."""
        self.trials: dict[str, Trial] = {}
        self._is_over = False
        """Another bundle serves: the node has been made anew, and so has what follows this object."""
        self._checked_s = self._retry_s = self._dropped_s = float("-inf")
        filters = update_filters(host.node.context.root)
        self._release_topic, self._above = filters[0], filters[0].rpartition("/")[0] + "/"
        self._inform()

    def _load(self) -> Index:
        """Read the index, without what no longer holds."""
        found = load_index(self.folder, self.host.log)
        index = sound(found, self.configured, self.folder, self.host.log)
        if index != found:
            try:
                keep_index(self.disk, self.folder, index)
            except StorageError as fault:  # it is found again at the next start
                self.host.log("storage.failed", error=str(fault), retry_s=RETRY_S)
        return index

    # --- what is sent

    def parted(self, messages: list[Message]) -> tuple[list[Message], list[Message]]:
        """Part readings from what belongs to updates."""
        mine = [message for message in messages if message.topic.startswith(self._above)]
        if not mine:
            return messages, mine
        return [message for message in messages if not message.topic.startswith(self._above)], mine

    def take(self, messages: Iterable[Message]) -> None:
        """Take releases and chunks. Total: no bytes raise; a disk that refuses is told, and tried again later."""
        try:
            is_new = [self._take(message) for message in messages]
            if self.parcel and any(is_new):
                self.parcel.note()
                if self.parcel.is_complete:
                    self._assemble(self.parcel)
                self._tell_state()
        except (StorageError, OSError) as fault:
            self.host.log("storage.failed", error=str(fault), retry_s=RETRY_S)

    def _take(self, message: Message) -> bool:
        if message.topic == self._release_topic:
            self.take_release(message.payload)
            return False
        levels = message.topic[len(self._above) :].split("/")
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
            self._tell_state(digest)
            return
        if found := next((key for key, slot in self.index.slots.items() if slot.taken == digest), None):
            self._tell_state(digest, outcome=self.index.slots[found].outcome)
            return
        now_s = time.monotonic()
        if now_s - self._checked_s < MOST_CHECKED_EVERY_S:
            return
        try:
            release = parse_release(data)
            reason = self._refusal(release)
            if reason is None:
                self._checked_s = now_s
                self._verify(data)
        except BundleError as fault:
            self._refuse(digest, None, f"{fault.what}: {fault.found}")
            return
        if reason is not None:
            self._refuse(digest, release, reason)
            return
        self.parcel, self.release_digest = Parcel(self.folder, release, self.disk), digest
        self._tell("received", release, is_clock_synchronised=is_clock_synchronised())
        self._tell_state()

    def _refusal(self, release: Release) -> str | None:
        """Say why a release must not be installed here, before its signature is checked; None: it may."""
        node = self.host.node
        if (key := self._key_of(release)) is None:
            present = ", ".join(sorted({Path(key).name for key in self.configured})) or "none"
            return f"no bundle {release.bundle} is configured here, or several are; configured: {present}"
        slot = self.index.slots.get(key)
        present = Present(node.resolved.config.node.name, self._now_s(), slot.highest if slot else 0)
        return refusal(release, present)

    def _now_s(self) -> float:
        """Tell the time; a clock that was set back is no earlier than the last update."""
        try:
            return max(time.time(), (self.folder / INDEX).stat().st_mtime)
        except OSError:
            return time.time()

    def _verify(self, data: bytes) -> None:
        """Check the signature, in a child process."""
        path = self.folder / "incoming.release"
        with storage_faults("a release cannot be kept", self.folder):
            path.write_bytes(data)
        found = verified_digests([path], self.host.node.resolved.trusted_keys, allow_unsigned=False)
        if found[path] != hashlib.sha256(data).hexdigest():
            raise BundleError("the release changed while it was verified", found=found[path])

    def _key_of(self, release: Release) -> str | None:
        """Find the one configured bundle of that file name."""
        found = [key for key in self.configured if Path(key).name == release.bundle]
        return found[0] if len(found) == 1 else None

    # --- what has come

    def _assemble(self, parcel: Parcel) -> None:
        """Verify a whole bundle, and begin to judge it."""
        release, received = parcel.release, parcel.finish()
        if not received.is_sound:
            self._tell("refused", release, reason="the chunks do not make the file that was signed")
            return
        if (reason := self._refusal(release)) is not None:
            digest = self.release_digest
            self._drop_parcel()
            self._refuse(digest, release, reason)
            return
        reach("update.assembled")
        path = file_of(self.folder, release.digest)
        with storage_faults("a bundle cannot be kept", self.folder):
            self.disk.rename(received.path, path)
            self.disk.sync_folder(self.folder)
        reach("update.placed")
        self._stage(release, self.release_digest)

    def _stage(self, release: Release, release_digest: str) -> None:
        """Prove a bundle that lies in the folder, and put it into the index."""
        self._drop_parcel()
        key = self._key_of(release) or ""
        slot = self.index.slots.get(key) or Slot(base=digest_of(self.configured[key]) or "")
        try:
            _, bundle = self._open(key, release.digest)
            self._check_like(key, bundle)
        except BundleError as fault:
            self._refuse(release_digest, release, f"{fault.what}: {fault.found}")
            self._tidy()
            return
        self._keep(key, msgspec.structs.replace(
            slot, highest=max(slot.highest, release.sequence, release.replaces or 0), taken=release_digest,
            sequence=release.sequence, label=release.label, other=release.digest, phase="shadowing", outcome="staged",
        ))  # fmt: skip
        self._tell("staged", release, key=key)
        if bundle.manifest.target is not None:
            self._promote(key, None, "an estimator: nothing on this node can judge it")

    def _drop_parcel(self) -> None:
        self.parcel, self.release_digest = None, ""
        forget(self.folder)

    def _open(self, key: str, digest: str | None) -> tuple[Stepper, Bundle]:
        """Verify and prove the bundle behind a digest as any other. Raises BundleError."""
        from edgeseq.adapters.interpreter import open_proven  # heavy

        resolved = self.host.node.resolved
        bundles = {key: path_of(self.configured[key], self.folder, digest)}
        ((_, bundle),) = read_bundles(replace(resolved, bundles=bundles))
        variant, _ = variant_of(key, bundle, resolved, resolved.state_dir)
        runtime = resolved.config.bundles.runtime
        stepper = open_proven(bundle, runtime, variant, cache_folder=resolved.state_dir)
        return stepper, bundle

    def _check_like(self, key: str, bundle: Bundle) -> None:
        """Refuse another horizon, with which all streams would begin anew."""
        present = self.host.node.steppers[key].horizon
        if bundle.manifest.horizon != present:
            raise BundleError(
                "it has another horizon", found=f"{bundle.manifest.horizon}, not {present} steps"
            )

    # --- as time goes on

    def look(self) -> None:
        """Judge what is judged; install what was dropped as a file."""
        now_s = time.monotonic()
        if now_s < self._retry_s or self._is_over:
            return
        try:
            if now_s - self._dropped_s >= DROP_EVERY_S and self.parcel is None:
                self._dropped_s = now_s
                self._take_dropped()
            for key, slot in list(self.index.slots.items()):
                if slot.phase != "settled" and key in self.host.node.steppers and not self._is_over:
                    self._judge(key, slot)
        except (StorageError, OSError) as fault:
            self._retry_s = now_s + RETRY_S
            self.host.log("storage.failed", error=str(fault), retry_s=RETRY_S)

    def _judge(self, key: str, slot: Slot) -> None:
        trial = self.trials.get(key) or self._begin_trial(key, slot)
        if trial is None:
            return
        verdict = trial.look()
        self._inform()
        if verdict is None:
            return
        if slot.phase == "watching":
            self._end_watch(key, slot, verdict, trial.comparison)
        elif verdict == "better" or (verdict == "undecided" and self._promotes_equals):
            self._promote(key, trial.comparison, f"the new model is {_said(verdict)}")
        else:
            self._settle(key, slot, "rolled_back", trial.comparison, f"the new model is {_said(verdict)}")

    @property
    def _promotes_equals(self) -> bool:
        return self.host.node.resolved.config.bundles.promote == "not_worse"

    def _begin_trial(self, key: str, slot: Slot) -> Trial | None:
        """Let the other model run beside the present one; where it cannot be opened any more, nothing changes."""
        node = self.host.node
        try:
            other, _ = self._open(key, slot.other)
        except BundleError as fault:
            outcome = "rolled_back" if slot.phase == "shadowing" else "settled"
            self._settle(key, slot, outcome, None, f"{fault.what}: {fault.found}")
            return None
        groups = [group for group in node.state.groups if group.rule.bundle == key]
        present = node.steppers[key]
        old_and_new = (present, other) if slot.phase == "shadowing" else (other, present)
        self.trials[key] = trial = Trial(groups, *old_and_new)
        if slot.phase == "shadowing" and slot.outcome != "shadowing":
            self._keep(key, msgspec.structs.replace(slot, outcome="shadowing"))
            self._tell_slot("shadowing", key)
        return trial

    def _promote(self, key: str, comparison: Comparison | None, reason: str) -> None:
        """Let the new model serve, and the old one run beside it."""
        slot = self.index.slots[key]
        is_judged = comparison is not None
        following = msgspec.structs.replace(
            slot, serving=slot.other, other=slot.serving if is_judged else None,
            phase="watching" if is_judged else "settled", outcome="promoted",
        )  # fmt: skip
        self._switch(key, following, "promoted", comparison, reason)

    def _end_watch(self, key: str, slot: Slot, verdict: Verdict, comparison: Comparison) -> None:
        if verdict != "worse":
            self._settle(key, slot, "settled", comparison, f"the new model is {_said(verdict)}")
            return
        following = msgspec.structs.replace(
            slot, serving=slot.other, other=None, phase="settled", outcome="rolled_back"
        )
        self._switch(key, following, "rolled_back", comparison, "the new model is worse")

    def _settle(self, key: str, slot: Slot, outcome: str, comparison: Comparison | None, reason: str) -> None:
        """Leave what serves, and let go of the other."""
        self._keep(key, msgspec.structs.replace(slot, other=None, phase="settled", outcome=outcome))
        self._tell_slot(outcome, key, comparison, reason)
        self._tidy()

    def _tidy(self) -> None:
        """Remove what is no longer named; what cannot be removed is tried again at the next start."""
        with suppress(OSError):
            tidy(self.folder, self.index)

    def _switch(
        self, key: str, following: Slot, outcome: str, comparison: Comparison | None, reason: str
    ) -> None:
        """Let another file serve: from the replacement of the index on it does."""
        host = self.host
        path = path_of(self.configured[key], self.folder, following.serving)
        resolved = host.node.resolved
        resolved = replace(resolved, bundles={**resolved.bundles, key: path})
        if not host.renew(resolved, lambda: self._keep(key, following)):
            self._retry_s = time.monotonic() + RETRY_S
            return
        self._is_over = True
        self._tell_slot(outcome, key, comparison, reason)
        self._tidy()

    def _keep(self, key: str, slot: Slot) -> None:
        """Replace the index. Raises StorageError; then nothing has changed."""
        index = Index({**self.index.slots, key: slot})
        keep_index(self.disk, self.folder, index)
        self.index = index
        if slot.phase == "settled" or slot.outcome == "staged":
            self.trials.pop(key, None)
        self._inform()

    # --- files

    def _take_dropped(self) -> None:
        """Take releases that lie in the folder `drop`, each beside its bundle of the same name."""
        for path in sorted((self.folder / DROP).glob("*.release")):
            bundle = path.with_suffix(".edgeseq")
            data = path.read_bytes()[: MAX_RELEASE_BYTES + 1]
            self.take_release(data)
            if self.parcel is None:
                if hashlib.sha256(data).hexdigest() in self.refused:
                    _remove(path, bundle)
                continue
            parcel, size = self.parcel, self.parcel.release.chunk_bytes
            if not bundle.is_file() or bundle.stat().st_size != parcel.release.size_bytes:
                self.parcel, self.release_digest = None, ""  # it may still be on its way
                continue
            content = bundle.read_bytes()
            for number in range(parcel.release.chunks):
                parcel.take(number, content[number * size : (number + 1) * size])
            if parcel.is_complete:
                self._assemble(parcel)
            _remove(path, bundle)
            return

    # --- telling

    def _refuse(self, digest: str, release: Release | None, reason: str) -> None:
        if len(self.refused) > 100:
            self.refused.clear()
        self.refused[digest] = reason
        self._tell("refused", release, reason=reason)
        self._tell_state(digest)

    def _tell(self, what: str, release: Release | None, *, key: str | None = None, **fields: Any) -> None:
        """Tell what became of a release."""
        if release:
            fields |= {"bundle": key or release.bundle, "sequence": release.sequence, "label": release.label}
        self._event(what, fields)

    def _tell_slot(
        self, what: str, key: str, comparison: Comparison | None = None, reason: str | None = None
    ) -> None:
        slot = self.index.slots[key]
        fields: dict[str, Any] = {"bundle": key, "sequence": slot.sequence, "label": slot.label}
        if reason is not None:
            fields["reason"] = reason
        if comparison is not None:
            fields["test"] = paired_test(comparison)
        self._event(what, fields)
        self._tell_state(slot.taken, outcome=what, reason=reason)

    def _event(self, what: str, fields: dict[str, Any]) -> None:
        payload = msgspec.convert({"event": f"update.{what}", **msgspec.to_builtins(fields)}, EventPayload)
        if what == "refused":
            self.host.log("update.refused", **msgspec.to_builtins(fields))
        else:
            self.host.log("update.changed", step=what, **msgspec.to_builtins(fields))
        self._inform()
        self.host.send(bridge_event(self.host.node.context.root, payload), info(self.host.node))

    def _tell_state(self, digest: str = "", *, outcome: str = "receiving", reason: str | None = None) -> None:
        """Tell whoever sends how far it has come."""
        payload = UpdateStatePayload(release=digest, state=outcome, reason=reason)
        if digest in self.refused:
            payload = UpdateStatePayload(release=digest, state="refused", reason=self.refused[digest])
        elif self.parcel and digest in ("", self.release_digest):
            payload = UpdateStatePayload(
                release=self.release_digest, state="receiving", chunks=self.parcel.release.chunks,
                lacking=self.parcel.lacking, missing=self.parcel.missing(),
            )  # fmt: skip
        elif not digest:
            return
        self.host.send(update_state(self.host.node.context.root, payload))

    def _inform(self) -> None:
        """Put together what bridge/info says."""
        self.host.node.updates = told_slots(self.index, self.trials)


def _said(verdict: Verdict) -> str:
    return "neither better nor worse" if verdict == "undecided" else f"significantly {verdict}"


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


__all__ = ["Updates"]
