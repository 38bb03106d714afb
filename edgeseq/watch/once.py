"""What a node has published so far, once: the messages that the broker keeps, as a table or as JSON."""

from __future__ import annotations

import queue
import sys
import time
from typing import IO, Any

import msgspec

from edgeseq.errors import BrokerError
from edgeseq.watch import Broker, Inbox, connect
from edgeseq.watch import view as v
from edgeseq.watch.drawing import draw
from edgeseq.watch.terminal import no_colors

QUIET_S, LONGEST_S = 0.5, 10.0
"""The broker sends what it keeps at once: so long a silence is its end. A busy node is watched no longer."""

WIDTH = 160


def once(broker: Broker, prefix: str, node: str, out: IO[str] = sys.stdout, *, as_json: bool = False) -> None:
    """Print what a node's retained messages tell, and end.

    Raises:
        BrokerError: the broker does not answer, or keeps nothing of such a node.
    """
    view = v.View(prefix=prefix, node=node)
    inbox: Inbox = queue.Queue()
    client = connect(broker, [f"{prefix}/{node}/#"], inbox)
    end_s = time.monotonic() + LONGEST_S
    try:
        while time.monotonic() < end_s:
            v.take(view, *inbox.get(timeout=QUIET_S))
    except queue.Empty:
        pass
    finally:
        client.disconnect()
        client.loop_stop()
    if not view.nodes:
        raise BrokerError(
            "the broker keeps nothing of this node",
            where=f"{broker.host}:{broker.port}",
            found=f"no message below {prefix}/{node}/",
            do="start the node, or give --node and --prefix",
        )
    if as_json:
        print(msgspec.json.encode(facts(view)).decode(), file=out)
    else:
        print("\n".join(draw(view, WIDTH, 2 * len(view.rows) + 20, no_colors)), file=out)


def facts(view: v.View) -> dict[str, Any]:
    """Give a view for programs."""
    return {
        "nodes": view.states,
        "streams": [{"stream": name, **_row(row)} for name, row in view.rows.items()],
        "unreadable": view.unreadable,
    }


def _row(row: v.Row) -> dict[str, Any]:
    last = msgspec.to_builtins(row.last) if row.last else {}
    return {
        **last,
        **msgspec.to_builtins(row.status),
        "open": [msgspec.to_builtins(a) for a in row.open.values()],
    }
