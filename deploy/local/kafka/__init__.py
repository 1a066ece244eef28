"""Apache Kafka as one KRaft node, from Maven artifacts, on the machine's own Java."""
