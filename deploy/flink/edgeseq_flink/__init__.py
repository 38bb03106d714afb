"""edgeseq in Apache Flink: for plants whose brokers feed a data centre. No device needs it.

lines ─ routing ─▶ (bucket, line) ─ keyed by bucket ─▶ bucket.Bucket, the device's core ─▶ the payloads of a device

A bucket is a node of its own with some of the streams. What it knows is in Flink's keyed state as on a device's disk:
a snapshot of the core, and a journal of what came since. So a checkpoint holds it, whatever the task was doing.
"""
