"""The daemon: a node that runs.

life.py     beginning and end                          loop.py     what happens in between: a reading's way
changes.py  another configuration, other bundles       storing.py  patience with a disk that refuses
parts.py    parts that a configuration asks for, or does without
"""

from edgeseq.daemon.life import run
from edgeseq.daemon.loop import Daemon
from edgeseq.daemon.parts import read_config

__all__ = ["Daemon", "read_config", "run"]
