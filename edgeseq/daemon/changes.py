"""Another configuration, or other bundles, while the daemon runs: taken into force as a whole, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseq.adapters import mqtt
from edgeseq.adapters.filewatch import FileWatch
from edgeseq.adapters.log import open_log
from edgeseq.adapters.schedule import Schedule
from edgeseq.compose import Node, hand_over_desk, look, renew_node
from edgeseq.config.resolve import Resolved
from edgeseq.core.render import announce
from edgeseq.daemon.parts import (
    group_commit,
    open_discovery,
    open_updates,
    read_config,
    watched,
    with_updates,
)
from edgeseq.errors import ConfigError, EdgeseqError
from edgeseq.failpoint import reach
from edgeseq.linking import link_settings, open_link
from edgeseq.reporting import info
from edgeseq.store import make_folder

if TYPE_CHECKING:
    from edgeseq.daemon.loop import Daemon


def reload(daemon: Daemon) -> None:
    """Take a new configuration and new bundles into force, or keep what is if anything about them is wrong."""
    daemon.notifier.reloading()
    daemon.commit_all()
    link = daemon.link
    try:
        resolved = with_updates(read_config(daemon.path), daemon.log)
        _require_same_place(daemon.node.resolved, resolved)
        if resolved.config.node.updates:  # refused here, while the old configuration still stands
            make_folder(resolved.state_dir / "updates")
        node = renew_node(daemon.node, resolved, daemon.log)
        daemon.telling.follow(resolved)
        if link_settings(node) != link.settings:
            link = open_link(node, daemon.inbox, generation=link.generation)
        node.keep(daemon.link.unacknowledged())
    except EdgeseqError as fault:
        if link is not daemon.link:
            link.close(timeout_s=0.0)
        with contextlib.suppress(ConfigError):  # somebody else has taken the address meanwhile
            daemon.telling.follow(daemon.node.resolved)
        daemon.log("config.rejected", path=str(daemon.path), error=str(fault))
    else:
        _change_to(daemon, node, link)
        daemon.log("config.reloaded", path=str(daemon.path), rules=len(resolved.rules))
    daemon.notifier.ready(daemon.status())


def renew(daemon: Daemon, resolved: Resolved, settle: Callable[[], None]) -> bool:
    """Let other bundles serve: the state is kept for them, then `settle` makes it count. False where that fails."""
    daemon.commit_all()
    is_kept = False
    try:
        node = renew_node(daemon.node, resolved, daemon.log)
        node.keep(daemon.link.unacknowledged())
        is_kept = True
        reach("update.renewed")
        settle()
    except EdgeseqError as fault:
        daemon.log("update.refused", reason=str(fault))
        if is_kept:  # what serves on is not what is kept: a start would let its model begin cold
            daemon.early.is_wanted = True
            daemon.take_snapshot()
        return False
    _change_to(daemon, node, daemon.link)
    return True


def _change_to(daemon: Daemon, node: Node, link: mqtt.Link) -> None:
    """Put a new configuration into force."""
    if link is not daemon.link:
        waiting = daemon.link.hand_over()
        daemon.link.close(timeout_s=0.0)
        daemon.link = link
        daemon.send(*waiting)
    hand_over_desk(daemon.node, node)
    old, daemon.node, daemon.group = daemon.node.resolved, node, group_commit(node.resolved)
    daemon.updates = open_updates(daemon, daemon.updates)
    daemon.discovery = open_discovery(node)
    daemon.files = FileWatch(watched(daemon.path, node.resolved))
    daemon.log = open_log(node.resolved.config.log.level)
    if node.resolved.snapshot_every_s != old.snapshot_every_s:
        daemon.schedule.stop()
        daemon.schedule = Schedule(daemon.inbox.put, snapshot_every_s=node.resolved.snapshot_every_s)
        daemon.schedule.start()
    daemon.send(*look(node), info(node), *announce(node.context, node.render_state))


def _require_same_place(old: Resolved, new: Resolved) -> None:
    """Refuse by a reload what would leave topics or files of the old configuration behind."""
    pairs = {
        "node.name": (old.config.node.name, new.config.node.name),
        "node.state_dir": (str(old.state_dir), str(new.state_dir)),
        "mqtt.topic_prefix": (old.config.mqtt.topic_prefix, new.config.mqtt.topic_prefix),
    }
    for where, (present, wished) in pairs.items():
        if present != wished:
            raise ConfigError(
                "this can only be changed by a restart",
                where=where,
                found=wished,
                wanted=present,
                do="restart edgeseq",
            )
