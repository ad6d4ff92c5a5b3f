"""Real services for tests, started as plain processes, and a cable to pull between them and us."""

from tests.services.cable import Cable
from tests.services.kafka import KafkaServer
from tests.services.mariadb import MariaDbServer
from tests.services.mongo import MongoServer
from tests.services.process import Server, ServiceFailed, ServiceMissing, free_port

__all__ = [
    "Cable",
    "KafkaServer",
    "MariaDbServer",
    "MongoServer",
    "Server",
    "ServiceFailed",
    "ServiceMissing",
    "free_port",
]
