"""The bundles that a configuration names: read, checked, proven, opened. Imported only where there are any."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgeseq.adapters.log import Log
from edgeseq.adapters.verifier import verified_digests
from edgeseq.bundle import Bundle, Manifest, check_fits, check_serves, read_bundle
from edgeseq.bundle.keys import TrustedKeys
from edgeseq.config.resolve import Resolved
from edgeseq.core.estimate import Estimator
from edgeseq.core.forecast import Stepper
from edgeseq.core.known import KnownInputs
from edgeseq.core.payloads import VariantChoice
from edgeseq.core.types import StreamRule, Target
from edgeseq.store import make_folder


class Models(NamedTuple):
    """What the rules' bundles hold, by `StreamRule.bundle` or `.estimate`."""

    rules: tuple[StreamRule, ...]
    """Those of the configuration, told what their bundles know."""
    steppers: dict[str, Stepper]
    estimators: dict[str, Estimator]
    inputs: dict[str, KnownInputs]
    choices: list[VariantChoice]
    """Quantizations that were chosen by measuring."""


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


def open_models(resolved: Resolved, cache_folder: Path | None, log: Log) -> Models:
    """Prove and open all bundles that rules name.

    Args:
        resolved: the configuration.
        cache_folder: where proofs are kept; None: they are made anew.
        log: told what was opened.

    Raises:
        BundleError: a bundle cannot be trusted, read or run, or was made for other streams.
    """
    from edgeseq.adapters.interpreter import open_proven  # heavy, and of no use to who only reads bundles

    settings = resolved.config.bundles
    if cache_folder:
        make_folder(cache_folder)
    steppers: dict[str, Stepper] = {}
    estimators: dict[str, Estimator] = {}
    manifests: dict[str, Manifest] = {}
    choices: list[VariantChoice] = []
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
    rules = tuple(served(rule, manifests) for rule in resolved.rules)
    inputs = {key: manifest.inputs for key, manifest in manifests.items()}
    return Models(rules, steppers, estimators, inputs, choices)


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
