"""Places where a test may kill the process. In service they do nothing.

`EDGESEQ_FAILPOINT=journal.synced` kills at the first passage, `journal.synced:3` at the third. Random kills hardly
ever hit the short windows between two durable steps; these always do.
"""

from __future__ import annotations

import os
import signal

ENVIRONMENT = "EDGESEQ_FAILPOINT"

NAMES = (
    "messages.accepted",  # nothing is written, the broker has not been told
    "state.advanced",  # nothing has been published
    "events.published",  # but alerts, which wait for the commit
    "journal.written",  # the frame is written, not yet synced
    "journal.synced",  # the batches are durable, the broker has not been told
    "messages.acknowledged",  # the broker forgets them now; their alerts have not been told
    "alerts.published",
    "journal.begun",  # the next generation's journal is there, its snapshot is not
    "snapshot.written",  # complete under its temporary name
    "snapshot.renamed",
    "generations.removed",
)

DESK_NAMES = (
    "ledger.written",  # what alerts have done is in the ledger, they have not been told
    "ledger.asked",  # what a person asked for is in the ledger, nobody has been told
)
"""Passed only where the node answers requests, or has maintenance windows."""

UPDATE_NAMES = (
    "update.assembled",  # all chunks of a bundle are there and synced, under a temporary name
    "update.placed",  # it has its name, no index names it
    "updates.written",  # the next index is complete under its temporary name
    "updates.renamed",  # it counts from here on
    "update.renewed",  # the state is kept for the bundle that is to serve, the index still names the other
)
"""Passed only where the node takes updates."""

_passages = dict.fromkeys((*NAMES, *DESK_NAMES, *UPDATE_NAMES), 0)


_wanted, _, _nth = os.environ.get(ENVIRONMENT, "").partition(":")
"""Asked once: six times a batch would cost a lone reading 5 µs."""


def reach(name: str) -> None:
    """Kill the process here if the environment asked for it when the process began."""
    if name != _wanted:
        return
    _passages[name] += 1
    if _passages[name] == int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
