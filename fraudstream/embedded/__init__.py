"""An in-process Kafka-protocol cluster and local stores, so that one command runs everything."""
