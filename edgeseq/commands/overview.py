"""What a configuration amounts to, in words: where readings come from, what serves them, where results go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeseq.bundle.manifest import Manifest
from edgeseq.config.resolve import Resolved
from edgeseq.core.registry import nameable
from edgeseq.core.topics import has_wildcard, slug
from edgeseq.core.types import KnownSource, StreamInfo, StreamRule


def overview(path: Path, resolved: Resolved, manifests: Mapping[str, Manifest]) -> str:
    """Sum up a configuration; `manifests` maps the bundles of its rules."""
    lines = [f"{path} is usable", f"  broker:    {resolved.config.mqtt.host}:{resolved.port}"]
    lines += [f"  state:     {resolved.state_dir}"]
    lines += [f"  subscribe: {topic_filter}" for topic_filter in resolved.filters]
    root = f"{resolved.config.mqtt.topic_prefix}/{resolved.config.node.name}"
    streams = nameable(resolved.rules)
    for rule in resolved.rules:
        lines.append(f"  streams:   {rule.key} by {rule.bundle or 'the baseline'}")
        lines += [f"    {line}" for line in _rule(rule, manifests, root, streams[rule.key])]
    if resolved.bundles:
        lines += [
            "  not run:   the bundles' golden roll-out; `edgeseq bundle verify FILE` does, and so does the daemon"
        ]
    return "\n".join(lines)


def facts(path: Path, resolved: Resolved, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    """Give the same for programs."""
    root = f"{resolved.config.mqtt.topic_prefix}/{resolved.config.node.name}"
    streams = nameable(resolved.rules)
    tables = [
        {
            "table": rule.key,
            "bundle": rule.bundle,
            "model": manifests[rule.bundle].label if rule.bundle else None,
            "estimate": rule.estimate,
            "streams": [stream.id for stream in streams[rule.key]],
            "is_open": rule.decoder is not None or any(has_wildcard(topic) for topic in rule.topics),
        }
        for rule in resolved.rules
    ]
    return {
        "configuration": str(path),
        "broker": {"host": resolved.config.mqtt.host, "port": resolved.port, "tls": resolved.config.mqtt.tls},
        "state_dir": str(resolved.state_dir),
        "subscribe": [*resolved.filters],
        "publish": root,
        "tables": tables,
    }


def _rule(
    rule: StreamRule, manifests: Mapping[str, Manifest], root: str, streams: list[StreamInfo]
) -> Iterator[str]:
    """Say what goes into a rule's streams beside their own readings, and what comes out where."""
    covariates: tuple[str, ...] = ()
    if rule.bundle is not None:
        manifest = manifests[rule.bundle]
        covariates = rule.channel_names[len(rule.channel_names) - manifest.covariates :]
        if covariates:
            yield f"inputs:    {', '.join(covariates)}: covariates, not forecast"
        yield from (f"known:     {name} from {_known(source)}" for name, source in rule.known.items())
        if calendar := manifest.inputs.calendar:
            holidays = f", holidays of {calendar.holidays}" if calendar.holidays else ""
            yield f"known:     local time of {calendar.time_zone}{holidays}"
    if (switch := rule.active_when) is not None:
        meant = f" is {switch.equals}" if switch.equals else ""
        yield f"active:    when {switch.topic}{f'#{switch.field}' if switch.field else ''}{meant}"
    if rule.estimate is not None and (target := manifests[rule.estimate].target) is not None:
        what = f"a class, {' or '.join(target.classes)}" if target.classes else target.unit or "a number"
        yield f"estimate:  {target.name} ({what}) by {rule.estimate}"
    for stream in streams:
        source = ", ".join(filter(None, [stream.topic, stream.field]))
        yield f"publish:   {root}/{stream.id}/#{f' for {source}' if source else ''}"
        channels = [name for name in rule.channels if name not in covariates]
        yield from (f"           {root}/{stream.id}/{slug(name)}/# for {name}" for name in channels)
    if rule.decoder is not None:
        yield f"publish:   {root}/+/# for each number that comes, by the decoder {rule.decoder}"
    elif any(has_wildcard(topic) for topic in rule.topics):
        yield f"publish:   {root}/+/# for each topic{' and field' if rule.fields else ''} that comes"


def _known(source: KnownSource) -> str:
    """Name a topic and what is read of its messages."""
    within = f" of {source.field}" if source.field else ""
    return f"{source.topic} ({source.time} and {source.value}{within})"
