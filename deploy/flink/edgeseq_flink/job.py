"""The job: source, routing, the keyed core, sink."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Encoder, SimpleStringSchema, Types, WatermarkStrategy
from pyflink.datastream import DataStream, FlatMapFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat

from edgeseq.capture import read_line
from edgeseq.errors import InputError
from edgeseq_flink.bucket import Line, encode, settle
from edgeseq_flink.function import Core
from edgeseq_flink.routing import Router

KINDS = ("forecast", "alert", "status")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to run."""

    config: Path
    output: Path
    """Folder of the sink's files: JSON lines, whole once a checkpoint is."""
    source: Path | None = None
    """File of JSON lines, as `edgeseq replay` takes them."""
    kafka: tuple[str, str] | None = None
    """Bootstrap servers and topic, of whose records each is such a line."""
    kafka_jar: Path | None = None
    """Flink's connector for Kafka, which the Python package does not bring."""
    kinds: tuple[str, ...] = KINDS
    buckets: int = 64
    parallelism: int = 1
    checkpoints: Path | None = None
    checkpoint_every_ms: int = 10_000
    restarts: int = 10


class Route(FlatMapFunction):
    """A line → its bucket and record."""

    def __init__(self, config: str, buckets: int, *, is_live: bool) -> None:
        self._config, self._buckets, self._is_live = config, buckets, is_live

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin in a new process."""
        self._router = Router(settle(Path(self._config)).rules, self._buckets)
        self._unreadable = runtime_context.get_metrics_group().counter("unreadable")

    def flat_map(self, value: str) -> Iterator[tuple[int, bytes]]:
        """Read a line; an empty one is none. One that cannot be read ends a replay; live it is counted."""
        if not value.strip():
            return
        try:
            message = read_line(value.encode("utf-8", "surrogatepass"), "a line of the source")
        except InputError:
            if not self._is_live:
                raise
            self._unreadable.inc()
            return
        record = Line(message.topic, message.payload, message.received_ns, message.retained)
        yield self._router.bucket(message.topic), encode(record)


def environment(job: Job) -> StreamExecutionEnvironment:
    """Make Flink's environment for a job: this Python, checkpoints, restarts."""
    # Its launcher looks for `python` on the path, whatever it is told besides.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    # In the mini-cluster workers would be threads of this process, which share one interpreter lock.
    os.environ.setdefault("_python_worker_execution_mode", "process")
    settings = Configuration()
    for key, value in {
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.time": "50",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": str(job.restarts),
        "restart-strategy.fixed-delay.delay": "1 s",
    }.items():
        settings.set_string(key, value)
    if job.checkpoints:
        settings.set_string("execution.checkpointing.interval", f"{job.checkpoint_every_ms} ms")
        settings.set_string("execution.checkpointing.dir", job.checkpoints.absolute().as_uri())
    env = StreamExecutionEnvironment.get_execution_environment(settings)
    env.set_parallelism(job.parallelism)
    return env


def build(env: StreamExecutionEnvironment, job: Job, core: Core | None = None) -> None:
    """Lay the job out in an environment.

    core: what runs it, where that is another than `function.Core`.
    """
    config = str(job.config.absolute())
    keyed = (
        _lines(env, job)
        .flat_map(
            Route(config, job.buckets, is_live=job.kafka is not None),
            Types.TUPLE([Types.INT(), Types.PICKLED_BYTE_ARRAY()]),
        )
        # One reads a file, so that its order stays; of Kafka each partition has its own.
        .set_parallelism(1 if job.source else job.parallelism)
        .key_by(lambda routed: routed[0], Types.INT())
    )
    core = core or Core(config, job.kinds, is_live=job.kafka is not None)
    rows = FileSink.for_row_format(str(job.output.absolute()), Encoder.simple_string_encoder())
    # A file ends with each checkpoint: none has to be cut and gone on with after a restart.
    sink = rows.with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy()).build()
    keyed.process(core, Types.STRING()).name("edgeseq").uid("edgeseq").sink_to(sink)


def _lines(env: StreamExecutionEnvironment, job: Job) -> DataStream:
    if job.source:
        path = str(job.source.absolute())
        source: Any = FileSource.for_record_stream_format(StreamFormat.text_line_format(), path).build()
        return env.from_source(source, WatermarkStrategy.no_watermarks(), "readings").set_parallelism(1)
    from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource

    if job.kafka_jar:
        env.add_jars(job.kafka_jar.absolute().as_uri())
    servers, topic = job.kafka or ("", "")
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(servers)
        .set_topics(topic)
        .set_group_id("edgeseq")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    return env.from_source(source, WatermarkStrategy.no_watermarks(), "readings")
