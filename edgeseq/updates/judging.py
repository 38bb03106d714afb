"""What is judged: staged, in the shadow, promoted, watched, settled or rolled back. The index says where it stands."""

from __future__ import annotations

import time

import msgspec

from edgeseq.bundle.release import Release
from edgeseq.core.comparison import Comparison, Verdict
from edgeseq.core.payloads import UpdateStatePayload
from edgeseq.errors import BundleError
from edgeseq.updates.shadow import Trial
from edgeseq.updates.shelf import RETRY_S, Shelf
from edgeseq.updates.slots import Slot, digest_of
from edgeseq.updates.telling import paired_test, tell, tell_state, told_slots


class Judging:
    """The trials that run. Methods raise StorageError and OSError."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.trials: dict[str, Trial] = {}
        self.is_over = False
        """Another bundle serves: the node has been made anew, and so has what follows this object."""
        self._retry_s = float("-inf")
        self._inform()

    def stage(self, release: Release, release_digest: str) -> None:
        """Prove a bundle that lies in the folder, and put it into the index. Raises BundleError: it cannot serve."""
        shelf = self._shelf
        key = shelf.key_of(release) or ""
        slot = shelf.index.slots.get(key) or Slot(base=digest_of(shelf.configured[key]) or "")
        bundle = shelf.open_new(key, release.digest)
        self._keep(key, msgspec.structs.replace(
            slot, highest=max(slot.highest, release.sequence, release.replaces or 0), taken=release_digest,
            sequence=release.sequence, label=release.label, other=release.digest, phase="shadowing", outcome="staged",
        ))  # fmt: skip
        told = {"bundle": key, "sequence": release.sequence, "label": release.label}
        tell(shelf.host, "staged", told)
        if bundle.manifest.target is not None:
            self._promote(key, None, "an estimator: nothing on this node can judge it")

    def look(self) -> None:
        """Judge what is judged."""
        if time.monotonic() < self._retry_s:
            return
        for key, slot in list(self._shelf.index.slots.items()):
            if slot.phase != "settled" and key in self._shelf.host.node.steppers and not self.is_over:
                self._judge(key, slot)

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
        return self._shelf.host.node.resolved.config.bundles.promote == "not_worse"

    def _begin_trial(self, key: str, slot: Slot) -> Trial | None:
        """Let the other model run beside the present one; where it cannot be opened any more, nothing changes."""
        node = self._shelf.host.node
        try:
            other, _ = self._shelf.open(key, slot.other)
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
            self._tell("shadowing", key)
        return trial

    def _promote(self, key: str, comparison: Comparison | None, reason: str) -> None:
        """Let the new model serve, and the old one run beside it."""
        slot = self._shelf.index.slots[key]
        is_judged = comparison is not None
        following = msgspec.structs.replace(
            slot, serving=slot.other, other=slot.serving if is_judged else None,
            phase="watching" if is_judged else "settled", outcome="promoted",
        )  # fmt: skip
        self._switch(key, following, comparison, reason)

    def _end_watch(self, key: str, slot: Slot, verdict: Verdict, comparison: Comparison) -> None:
        if verdict != "worse":
            self._settle(key, slot, "settled", comparison, f"the new model is {_said(verdict)}")
            return
        following = msgspec.structs.replace(
            slot, serving=slot.other, other=None, phase="settled", outcome="rolled_back"
        )
        self._switch(key, following, comparison, "the new model is worse")

    def _settle(self, key: str, slot: Slot, outcome: str, comparison: Comparison | None, reason: str) -> None:
        """Leave what serves, and let go of the other."""
        self._keep(key, msgspec.structs.replace(slot, other=None, phase="settled", outcome=outcome))
        self._tell(outcome, key, comparison, reason)
        self._shelf.tidy()

    def _switch(self, key: str, following: Slot, comparison: Comparison | None, reason: str) -> None:
        """Let another file serve: from the replacement of the index on it does."""
        shelf = self._shelf
        resolved = shelf.serving(key, following.serving)
        if not shelf.host.renew(resolved, lambda: self._keep(key, following)):
            self._retry_s = time.monotonic() + RETRY_S
            return
        self.is_over = True
        self._tell(following.outcome, key, comparison, reason)
        shelf.tidy()

    def _keep(self, key: str, slot: Slot) -> None:
        """Replace the index. Raises StorageError; then nothing has changed."""
        self._shelf.keep(key, slot)
        if slot.phase == "settled" or slot.outcome == "staged":
            self.trials.pop(key, None)
        self._inform()

    def _tell(
        self, what: str, key: str, comparison: Comparison | None = None, reason: str | None = None
    ) -> None:
        slot = self._shelf.index.slots[key]
        fields: dict[str, object] = {"bundle": key, "sequence": slot.sequence, "label": slot.label}
        if reason is not None:
            fields["reason"] = reason
        if comparison is not None:
            fields["test"] = paired_test(comparison)
        tell(self._shelf.host, what, fields)
        tell_state(self._shelf.host, UpdateStatePayload(release=slot.taken, state=what, reason=reason))

    def _inform(self) -> None:
        """Put together what bridge/info says."""
        self._shelf.host.node.updates = told_slots(self._shelf.index, self.trials)


def _said(verdict: Verdict) -> str:
    return "neither better nor worse" if verdict == "undecided" else f"significantly {verdict}"
