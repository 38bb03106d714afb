"""Start-up, as the daemon and replay share it: bundles verified, streams made, state read back from disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeseq import __version__
from edgeseq.adapters.log import Log
from edgeseq.config.resolve import Resolved
from edgeseq.core import keeping, pipeline
from edgeseq.core.bridge import bridge_event
from edgeseq.core.estimate import Estimator
from edgeseq.core.estimated import Estimated
from edgeseq.core.forecast import Stepper
from edgeseq.core.known import KnownInputs
from edgeseq.core.payloads import EventPayload, UpdateInfo, VariantChoice
from edgeseq.core.pipeline import State
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import Event, Outgoing
from edgeseq.disk import Disk
from edgeseq.restore import restore, tell_dropped
from edgeseq.store import Store, open_store

if TYPE_CHECKING:
    from edgeseq.desk import Desk

NOT_YET = -(2**62)
"""The clock of a state that has seen no reading."""


@dataclass(slots=True)
class Node:
    """A node ready to take readings."""

    resolved: Resolved
    steppers: Mapping[str, Stepper]
    """Key of a bundle → what runs it, forecasters and estimators."""
    state: State
    context: RenderContext
    render_state: RenderState = field(default_factory=RenderState)
    store: Store | None = None
    """None where nothing is kept (replay)."""
    is_at_rest: bool = False
    """No message will come after what is kept next: this process ends."""
    had_session: bool = False
    """A daemon has connected with this state before: the broker should know our session."""
    backlog: list[Outgoing] = field(default_factory=list)
    """To be published (again): alerts that the broker may not have, and the newest of all else that was recovered."""
    replayed: tuple[int, float] = (0, 0.0)
    """Readings of the journal that the start took, and how long that took (s)."""
    old_filters: tuple[str, ...] = ()
    """Subscriptions that the session may still have."""
    announced: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Topic → entities that Home Assistant may know by it; kept, so that they can be taken away."""
    desk: Desk | None = None
    """Where people's wishes about alerts are kept; None where there can be none."""
    updates: list[UpdateInfo] = field(default_factory=list)
    """What has come over the air."""
    variants: list[VariantChoice] = field(default_factory=list)
    """Quantizations that were chosen by measuring."""

    @property
    def fingerprint(self) -> dict[str, str]:
        """Name what computes the state: with the same, bit for bit; with another, within tolerance."""
        models = {key: f"{s.name} {_runtime(s)}".strip() for key, s in sorted(self.steppers.items())}
        return {"edgeseq": __version__, "numpy": np.__version__, "machine": os.uname().machine, **models}

    def render(self, events: Iterable[Event]) -> list[Outgoing]:
        """Turn events into messages."""
        return render(self.context, self.render_state, list(events))

    def now_ns(self) -> int:
        """Tell the time by the clock that silence is measured by: the wall's, or that of the newest reading."""
        return self.state.clock_ns if self.resolved.config.node.clock == "readings" else time.time_ns()

    def keep(self, unacknowledged: Iterable[Outgoing]) -> None:
        """Take a snapshot and begin a new journal. Raises StorageError; then the present journal stays in use."""
        if self.store is None:
            return
        header, arrays = keeping.lay_open(
            self.state
        )  # written before anything moves it: a copy would be its peak
        content = {
            "core": header,
            "outbox": [msgspec.to_builtins(out) for out in unacknowledged],
            "filters": list(self.resolved.filters),
            "had_session": self.had_session,
            "announced": self.announced,
            "is_at_rest": self.is_at_rest and is_journaling(self.resolved),
        }
        self.store.rotate(self.fingerprint, content, arrays, is_journaling=is_journaling(self.resolved))


def look(node: Node) -> list[Outgoing]:
    """Let the desk look what time has changed → what is told of it."""
    now_ns = node.now_ns()
    if node.desk is None or now_ns <= NOT_YET:
        return []
    return node.desk.look(node.context, node.render_state, node.state, now_ns)


def note(node: Node) -> None:
    """Keep in the ledger what has been said of alerts: after it is in the journal, before it is told."""
    if node.desk and (node.render_state.record or node.render_state.late):
        node.desk.note(node.context, node.render_state, node.state, node.now_ns())


def hand_over_desk(old: Node, new: Node) -> None:
    """Let the desk follow a new configuration, or close it where that has none."""
    if new.desk:
        new.desk.follow(new.resolved.maintenance)
    elif old.desk:
        old.desk.close(old.state, old.now_ns())


def has_desk(resolved: Resolved) -> bool:
    """Tell whether people can have wishes about alerts."""
    return resolved.config.node.requests or bool(resolved.maintenance)


def _open_desk(folder: Path, resolved: Resolved, log: Log) -> Desk:
    from edgeseq.desk import open_desk  # SQLite is a megabyte, and of no use without wishes

    return open_desk(folder, resolved.maintenance, log)


def is_journaling(resolved: Resolved) -> bool:
    """Tell whether readings are made durable before they are acknowledged."""
    return resolved.config.journal.durability != "none"


def open_node(resolved: Resolved, *, state_dir: Path | None, log: Log, disk: Disk | None = None) -> Node:
    """Verify the bundles, make the streams' state and read it back.

    Args:
        resolved: the configuration.
        state_dir: folder of snapshot and journal, or None to begin with nothing and keep nothing.
        log: called with the name of an event and its fields.
        disk: another than the real one, in tests.

    Raises:
        BundleError: a bundle cannot be trusted, read or run.
        ConfigError: the state folder cannot be used, or another process uses it.
        StorageError: the disk refuses.
    """
    node = _new_node(resolved, state_dir, log)
    if state_dir is None:
        return node
    store, found = open_store(state_dir, is_journaling=is_journaling(resolved), notify=log, disk=disk)
    node.store = store
    if has_desk(resolved):
        node.desk = _open_desk(state_dir, resolved, log)
        node.desk.attach(node.render_state)
    restore(node, found, log)
    if node.desk:
        node.backlog += node.desk.outbox
    for choice in node.variants:
        told = EventPayload(event="variant.chosen", bundle=choice.bundle, choice=choice)
        node.backlog.append(bridge_event(node.context.root, told))
    return node


def renew_node(old: Node, resolved: Resolved, log: Log) -> Node:
    """Make a node of a new configuration that goes on with the state of the old one, as far as rules are unchanged.

    The old node is not touched, but for its store, which both name: whoever keeps the old one has lost nothing.

    Raises:
        BundleError: a bundle cannot be trusted, read or run.
    """
    node = _new_node(resolved, resolved.state_dir, log)
    dropped = keeping.load(node.state, *keeping.dump(old.state))
    node.state.counts = replace(old.state.counts, rejected=dict(old.state.counts.rejected))
    node.store, node.had_session, node.old_filters = old.store, old.had_session, old.resolved.filters
    node.announced = old.announced
    if has_desk(resolved):
        node.desk = old.desk or _open_desk(resolved.state_dir, resolved, log)
        node.desk.attach(node.render_state)
    node.render(pipeline.describe(node.state))
    tell_dropped(dropped, log)
    return node


def _new_node(resolved: Resolved, cache_folder: Path | None, log: Log) -> Node:
    steppers: dict[str, Stepper] = {}
    estimators: dict[str, Estimator] = {}
    inputs: dict[str, KnownInputs] = {}
    choices: list[VariantChoice] = []
    if any(rule.bundle or rule.estimate for rule in resolved.rules):
        from edgeseq.models import open_models  # reading bundles is a quarter of a megabyte

        rules, steppers, estimators, inputs, choices = open_models(resolved, cache_folder, log)
        resolved = replace(resolved, rules=rules)
    state = pipeline.new_state(resolved.rules, steppers, resolved.options, estimators, inputs)
    context = RenderContext(
        prefix=resolved.config.mqtt.topic_prefix,
        node=resolved.config.node.name,
        infos=state.registry.infos,
        rules=state.registry.rules,
        bundles={rule.key: steppers[rule.bundle].name for rule in resolved.rules if rule.bundle is not None},
        estimated={
            rule.key: Estimated(estimators[rule.estimate].target, steppers[rule.estimate].name)
            for rule in resolved.rules
            if rule.estimate is not None
        },
    )
    for choice in choices:
        log("variant.chosen", **msgspec.to_builtins(choice))
    return Node(resolved, steppers, state, context, variants=choices)


def _runtime(stepper: Stepper) -> str:
    return f"{getattr(stepper, 'runtime', '')} {getattr(stepper, 'variant', '')}".strip()
