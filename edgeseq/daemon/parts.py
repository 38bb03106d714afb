"""Parts of a daemon that a configuration asks for, or does without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseq.adapters.log import Log
from edgeseq.commits import GroupCommit
from edgeseq.compose import Node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve

if TYPE_CHECKING:
    from edgeseq.homeassistant import Discovery
    from edgeseq.updates import Host, Updates


def read_config(path: Path) -> Resolved:
    """Read and resolve the configuration file. Raises ConfigError."""
    return resolve(load_config(path), path.parent, name=path.name)


def open_discovery(node: Node) -> Discovery | None:
    """Begin to tell Home Assistant of the streams, or to take away what it was told of them before."""
    if not (node.resolved.config.homeassistant.discovery or node.announced):
        return None
    from edgeseq.homeassistant import Discovery  # of no use to others

    return Discovery(node)


def open_updates(host: Host, before: Updates | None = None) -> Updates | None:
    """Take bundles over the air, where the configuration lets them; goes on with what is being received."""
    if not host.node.resolved.config.node.updates:
        return None
    from edgeseq.updates import Updates  # of no use to others

    return Updates(host, before)


def with_updates(resolved: Resolved, log: Log) -> Resolved:
    """Let bundles that came over the air serve, where the configuration lets them."""
    if not resolved.config.node.updates:
        return resolved
    from edgeseq.updates.slots import overlaid

    return overlaid(resolved, log)


def watched(path: Path, resolved: Resolved) -> list[Path]:
    """List the files whose replacement asks for a reload: the configured bundles too, where others stand in."""
    return [path, *dict.fromkeys([*resolved.configured.values(), *resolved.bundles.values()])]


def group_commit(resolved: Resolved) -> GroupCommit:
    """Begin with nothing to be committed."""
    settings = resolved.config.journal
    return GroupCommit(settings.durability, resolved.commit_every_s, resolved.config.mqtt.inflight)
