"""Apache Kafka 4: one node of KRaft, with groups, transactions and fencing."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.class_archive import use_archive
from tests.services.container import Container
from tests.services.errors import ServerUnavailable
from tests.services.install import KAFKA_VERSION, kafka_jars
from tests.services.ports import free_ports
from tests.services.process import BRIEF_JAVA, Process
from tests.services.server import Elsewhere, ManagedService, ServerProcess

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
CLUSTER = "bGVnYWN5LWJyaWRnZS10ZQ"
SETTINGS = {
    # No setting of a broker: what its data folder is formatted for.
    "cluster.id": CLUSTER,
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Topics are made with their retention; one that appears by itself hides a mistake.
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed may come back once its old session has expired.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "400",
    # Tests wait for dead members, dead transactions and compaction.
    "group.min.session.timeout.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "500",
}


class Kafka(ManagedService):
    """A broker. `bootstrap` is its `host:port`."""

    def __init__(self, bootstrap: str, server: ServerProcess) -> None:
        super().__init__(server)
        self.bootstrap = bootstrap

    @property
    def data(self) -> Path | None:
        """The folder with its topics, where it is a local program's."""
        return self._server.folder / "data" if isinstance(self._server, Process) else None

    def stop(self) -> None:
        """Shut down in order. The data and the port stay."""
        self.shut_down()


def elsewhere(bootstrap: str) -> Kafka:
    """The broker at an address."""
    return Kafka(bootstrap, Elsewhere(bootstrap))


def in_container(settings: Mapping[str, str] | None = None, *, brief: bool = False) -> Kafka:
    """A broker of its own in a container; `brief`: it lives for minutes and is not measured."""
    port, control = free_ports(2)
    bootstrap = f"127.0.0.1:{port}"
    wanted = _settings(port, control, "/tmp/kraft-combined-logs", settings, listen="0.0.0.0")  # noqa: S104, S108 - inside the container
    env = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in wanted.items()}
    env["CLUSTER_ID"] = wanted["cluster.id"]
    if brief:
        env["KAFKA_JVM_PERFORMANCE_OPTS"] = " ".join(BRIEF_JAVA)
    container = Container(IMAGE, [port], lambda: answers(bootstrap), env=env)
    return Kafka(bootstrap, container)


def local(
    settings: Mapping[str, str] | None = None,
    *,
    brief: bool = False,
    java_options: Sequence[str] = (),
) -> Kafka:
    """A broker of its own as a local program, over a fresh data folder; `brief`: as above."""
    jars, java = kafka_jars(), shutil.which("java")
    if jars is None or java is None:
        raise ServerUnavailable(
            "Kafka is not installed: run `make services` (needs Java 17 and Maven), "
            "or start Docker, or set BRIDGE_TEST_KAFKA=host:port"
        )
    folder = Path(tempfile.mkdtemp(prefix="bridge-kafka-"))
    port, control = free_ports(2)
    bootstrap = f"127.0.0.1:{port}"
    properties = folder / "server.properties"
    wanted = _settings(port, control, str(folder / "data"), settings)
    properties.write_text("".join(f"{name}={value}\n" for name, value in wanted.items()))
    (folder / "log4j2.properties").write_text(
        "rootLogger.level=WARN\n"
        "rootLogger.appenderRef.out.ref=out\n"
        "appender.out.type=Console\nappender.out.name=out\n"
        "appender.out.layout.type=PatternLayout\n"
        "appender.out.layout.pattern=%d %p %m (%c)%n\n"
    )
    logging_option = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    run = [*use_archive(jars), logging_option, "-cp", f"{jars}/*"]
    subprocess.run(
        [
            java,
            *BRIEF_JAVA,
            *run,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            wanted["cluster.id"],
            "-c",
            str(properties),
        ],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    flags = ["-Xmx512m", *(BRIEF_JAVA if brief else ()), *java_options]
    process = Process(
        [java, *flags, *run, "kafka.Kafka", str(properties)],
        folder,
        lambda: answers(bootstrap),
    )
    return Kafka(bootstrap, process)


def answers(bootstrap: str) -> bool:
    """Whether the broker has registered itself and serves requests."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient(
        {"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 2000}
    )
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _settings(
    port: int,
    control: int,
    data: str,
    settings: Mapping[str, str] | None,
    listen: str = "127.0.0.1",
) -> dict[str, str]:
    """Settings of one's own may name the ports, for further listeners: {port} and {control}."""
    further = {
        name: value.replace("{port}", str(port)).replace("{control}", str(control))
        for name, value in (settings or {}).items()
    }
    return {
        **SETTINGS,
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://127.0.0.1:{control}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{control}",
        "log.dirs": data,
        **further,
    }
