"""Start-up, as the daemon and replay share it: bundles verified, streams made, state read back from disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgeseq import __version__
from edgeseq.adapters.log import Log
from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle import Bundle, Manifest, check_fits, check_serves, read_bundle
from edgeseq.bundle.keys import TrustedKeys
from edgeseq.config.resolve import Resolved
from edgeseq.core import keeping, pipeline
from edgeseq.core.bridge import bridge_event
from edgeseq.core.estimate import Estimator
from edgeseq.core.estimated import Estimated
from edgeseq.core.forecast import Stepper
from edgeseq.core.payloads import EventPayload, UpdateInfo, VariantChoice
from edgeseq.core.pipeline import State
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import Event, Outgoing, StreamRule, Target
from edgeseq.disk import Disk
from edgeseq.restore import restore, tell_dropped
from edgeseq.store import Store, make_folder, open_store

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
    choices: list[VariantChoice] = []
    steppers, estimators, manifests = _open_steppers(resolved, cache_folder, log, choices)
    resolved = replace(resolved, rules=tuple(served(rule, manifests) for rule in resolved.rules))
    inputs = {key: manifest.inputs for key, manifest in manifests.items()}
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


def served(rule: StreamRule, manifests: Mapping[str, Manifest]) -> StreamRule:
    """Tell a rule what its bundle knows: which channels are only inputs, and units that it names none for."""
    if rule.bundle is None:
        return rule
    manifest = manifests[rule.bundle]
    known = {name: c.unit for name, c in zip(rule.channel_names, manifest.channels, strict=True) if c.unit}
    units = {name: unit for name in rule.channel_names if (unit := rule.unit_of(name) or known.get(name))}
    return msgspec.structs.replace(rule, covariates=manifest.covariates, units=units)


def variant_of(
    key: str, bundle: Bundle, resolved: Resolved, cache_folder: Path | None
) -> tuple[str | None, VariantChoice | None]:
    """Say which variant of a bundle serves: the configured one, else one by measuring; None: the bundle's choice."""
    settings = resolved.config.bundles
    if settings.variant or settings.choose == "default":
        return settings.variant, None
    from edgeseq.adapters.interpreter import Budget, choose_measured

    budget = Budget(
        cpu=settings.cpu_budget,
        latency_ms=1e-6 * resolved.latency_budget_ns,
        memory_bytes=settings.memory_budget_bytes,
        streams=resolved.options.max_streams,
    )
    found = choose_measured(bundle, settings.runtime, budget, cache_folder)
    if found is None:
        return None, None
    return found.variant, VariantChoice(
        bundle=key, variant=found.variant, is_within=found.is_within, costs=found.costs
    )


def _open_steppers(
    resolved: Resolved, cache_folder: Path | None, log: Log, choices: list[VariantChoice]
) -> tuple[dict[str, Stepper], dict[str, Estimator], dict[str, Manifest]]:
    if not resolved.bundles:
        return {}, {}, {}
    from edgeseq.adapters.interpreter import open_proven  # heavy, and of no use without a bundle

    settings = resolved.config.bundles
    if cache_folder:
        make_folder(cache_folder)
    steppers: dict[str, Stepper] = {}
    estimators: dict[str, Estimator] = {}
    manifests: dict[str, Manifest] = {}
    for key, bundle in read_bundles(resolved):
        variant, choice = variant_of(key, bundle, resolved, cache_folder)
        if choice:
            choices.append(choice)
        stepper = open_proven(bundle, settings.runtime, variant, cache_folder=cache_folder)
        log(
            "bundle.opened",
            path=str(bundle.path),
            bundle=stepper.name,
            runtime=stepper.runtime,
            variant=stepper.variant,
        )
        steppers[key], manifests[key] = stepper, bundle.manifest
        calendar = bundle.manifest.inputs.calendar
        if calendar and calendar.stop_s < time.time():
            log("calendar.ended", path=str(bundle.path), time_zone=calendar.time_zone)
        if bundle.manifest.target is not None:
            estimators[key] = _estimator(bundle.manifest, bundle.manifest.target, stepper)
    return steppers, estimators, manifests


def _estimator(manifest: Manifest, target: Target, stepper: Stepper) -> Estimator:
    anchor = np.array([channel.anchor for channel in manifest.channels], dtype=np.float64)
    scale = np.array([channel.scale for channel in manifest.channels], dtype=np.float64)
    return Estimator(stepper, target, anchor, scale)


def read_bundles(resolved: Resolved) -> Iterator[tuple[str, Bundle]]:
    """Read all bundles and check signature, contents and fit to the rules. None is run.

    Yields:
        StreamRule.bundle or .estimate and the bundle; one after the other, so that one is in memory at a time.

    Raises:
        BundleError: a bundle cannot be trusted or read, or was made for other streams.
    """
    paths = list(resolved.bundles.values())
    is_unsigned_allowed = resolved.config.bundles.allow_unsigned
    digests = verified_digests(paths, resolved.trusted_keys, allow_unsigned=is_unsigned_allowed)
    for key, path in resolved.bundles.items():
        bundle = read_bundle(path, TrustedKeys(), known_digest=digests[path])
        for rule in resolved.rules:
            if rule.bundle == key:
                check_serves(bundle.manifest, rule, "bundle")
                check_fits(bundle.manifest, rule)
            if rule.estimate == key:
                check_serves(bundle.manifest, rule, "estimate")
                # Known inputs are the forecaster's: an estimator takes none.
                check_fits(bundle.manifest, msgspec.structs.replace(rule, known={}))
        yield key, bundle


def _runtime(stepper: Stepper) -> str:
    return f"{getattr(stepper, 'runtime', '')} {getattr(stepper, 'variant', '')}".strip()
