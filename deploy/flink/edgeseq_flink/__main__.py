"""`python -m edgeseq_flink`: run the job, on this machine's mini-cluster or, by `flink run`, on a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseq_flink.job import KINDS, Job, build, environment

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--config", type=PATH, required=True, help="A device's configuration.")
@click.option("--input", "source", type=PATH, help="JSON lines of messages, as `edgeseq replay` takes them.")
@click.option("--kafka", metavar="SERVERS/TOPIC", help="Kafka whose records are such lines, one each.")
@click.option("--kafka-jar", type=PATH, help="Flink's connector for Kafka.")
@click.option("-o", "--output", type=PATH, required=True, help="Folder for what is published, as JSON lines.")
@click.option(
    "--topics", default=",".join(KINDS), show_default=True, help="Last levels of the topics to write."
)
@click.option("--parallelism", type=click.IntRange(1), default=1, show_default=True)
@click.option("--buckets", type=click.IntRange(1), default=64, show_default=True, help="Groups of streams.")
@click.option("--checkpoints", type=PATH, help="Folder of checkpoints; without it there are none.")
@click.option("--checkpoint-every", type=click.IntRange(1), default=10, show_default=True, help="Seconds.")
def main(
    config: Path, source: Path | None, kafka: str | None, kafka_jar: Path | None, output: Path, topics: str,
    parallelism: int, buckets: int, checkpoints: Path | None, checkpoint_every: int,
) -> None:  # fmt: skip
    """Forecast the streams of a plant in Apache Flink, as a device would."""
    if (source is None) == (kafka is None):
        raise click.UsageError("give --input or --kafka, one of them")
    servers, _, topic = (kafka or "").rpartition("/")
    if kafka and not servers:
        raise click.UsageError(f"--kafka {kafka} is not SERVERS/TOPIC, such as broker:9092/readings")
    job = Job(
        config, output, source, (servers, topic) if kafka else None, kafka_jar, tuple(topics.split(",")), buckets,
        parallelism, checkpoints, 1000 * checkpoint_every,
    )  # fmt: skip
    env = environment(job)
    build(env, job)
    env.execute("edgeseq")


if __name__ == "__main__":
    main()
