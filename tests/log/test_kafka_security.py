"""A broker that asks for TLS, a password or a client certificate."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from bridge.log.kafka import KafkaLog, KafkaSettings, Security
from bridge.log.port import Entry, TopicPartition, TopicSpec
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.model.redaction import redact
from tests.log.certificates import Authority
from tests.secret_scan import secret
from tests.services import kafka as brokers
from tests.services.ports import free_ports
from tests.waiting import until

pytestmark = pytest.mark.kafka

PASSWORD = secret("kafka")
FIRST, SECOND = secret("kafka-first"), secret("kafka-second")
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Secured:
    """Addresses of the listeners, and the files of a client."""

    plain: str
    sasl: str
    tls: str
    ca: str
    certificate: str
    key: str


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    server = authority.issue("127.0.0.1")
    certificate, key = authority.issue("bridge").write(folder, "client")
    (folder / "ca.pem").write_text(authority.certificate)
    sasl, tls = free_ports(2)
    stores = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": _one_line(server.certificate),
        "ssl.keystore.key": _one_line(server.key),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": _one_line(authority.certificate),
    }
    listeners = {
        "PLAINTEXT": "127.0.0.1:{port}",
        "CONTROLLER": "127.0.0.1:{control}",
        "LOGIN": f"127.0.0.1:{sasl}",
        "CLIENTS": f"127.0.0.1:{tls}",
    }
    settings = {
        **stores,
        "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
        "advertised.listeners": ",".join(
            f"{name}://{address}" for name, address in listeners.items() if name != "CONTROLLER"
        ),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,CLIENTS:SSL"
        ),
        "listener.name.clients.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.login.plain.sasl.jaas.config": f'{PLAIN} user_bridge="{PASSWORD}";',
        "listener.name.login.scram-sha-512.sasl.jaas.config": SCRAM,
    }
    with brokers.local(settings, brief=True) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        wanted = UserScramCredentialUpsertion(
            "bridge",
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
            PASSWORD.encode(),
        )
        admin.alter_user_scram_credentials([wanted])["bridge"].result(20)
        yield Secured(
            broker.bootstrap,
            f"127.0.0.1:{sasl}",
            f"127.0.0.1:{tls}",
            str(folder / "ca.pem"),
            str(certificate),
            str(key),
        )


def _one_line(pem: str) -> str:
    return pem.strip().replace("\n", "\\n")


def settings(server: str, **security: str) -> KafkaSettings:
    return KafkaSettings((server,), Security(**security), timeout=60.0)


async def works(wanted: KafkaSettings) -> None:
    """Every kind of client logs in: admin, producers, readers, members."""
    log = KafkaLog(wanted)
    await log.open()
    name = f"secured{secrets.token_hex(4)}"
    await log.create_topics([TopicSpec(name, partitions=1)])
    await log.append(name, [Entry(b"k", b"plain")])
    producer = await log.producer(name)
    async with producer.transaction() as transaction:
        await transaction.append(name, [Entry(b"k", b"transaction")])
    await producer.close()
    reader = await log.reader({TopicPartition(name, 0): 0})
    member = await log.join(name, [name])
    for consumer in (reader, member):
        values: list[bytes | None] = []
        while len(values) < 2:
            values += [record.value for record in await consumer.read(10, 20.0)]
        assert values == [b"plain", b"transaction"]
    await log.close()


async def fails(wanted: KafkaSettings) -> BridgeError:
    """What opening says; no secret is in it."""
    with pytest.raises(BridgeError) as refused:
        await KafkaLog(wanted).open()
    assert PASSWORD not in str(refused.value)
    assert "wrong-horse" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_password_over_tls_lets_every_client_in(secured: Secured, mechanism: str) -> None:
    login = {"mechanism": mechanism, "username": "bridge", "password": PASSWORD}
    await works(settings(secured.sasl, protocol="SASL_SSL", ca=secured.ca, **login))


async def test_a_password_that_is_replaced_reaches_clients_that_run(
    secured: Secured, tmp_path: Path
) -> None:
    """Those that run log in with it at their next connection, those that are made later at once."""
    admin = AdminClient({"bootstrap.servers": secured.plain})

    def let_in(password: str) -> None:
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted = UserScramCredentialUpsertion("rotated", scram, password.encode())
        admin.alter_user_scram_credentials([wanted])["rotated"].result(20)

    file = tmp_path / "password"
    file.write_text(FIRST)
    let_in(FIRST)
    login = {"mechanism": "SCRAM-SHA-512", "username": "rotated", "password": FIRST}
    wanted = settings(secured.sasl, protocol="SASL_SSL", ca=secured.ca, **login)
    log = KafkaLog(wanted, file.read_text)
    assert log._clients._password is not None
    log._clients._password._read_again_s = 0.05
    await log.open()
    try:
        let_in(SECOND)
        file.write_text(SECOND)
        assert log._admin is not None
        running = log._admin.client._client
        await until(lambda: running._sasl_plain_password == SECOND, 20)
        await log.create_topics([TopicSpec(name := f"rotated{secrets.token_hex(4)}", partitions=1)])
        await log.append(name, [Entry(b"k", b"v")])
        # Whoever runs loses its connections, as when the broker is started again.
        for connection in list(running._conns.values()):
            await asyncio.wait([connection.close()], timeout=5)
        assert name in await log.topics()
        assert redact(f"{FIRST} {SECOND}") == "*** ***"
    finally:
        await log.close()


async def test_a_client_certificate_lets_every_client_in(secured: Secured) -> None:
    own = {"certificate": secured.certificate, "private_key": secured.key}
    await works(settings(secured.tls, protocol="SSL", ca=secured.ca, **own))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_a_configuration_error(secured: Secured, mechanism: str) -> None:
    login = {"mechanism": mechanism, "username": "bridge", "password": "wrong-horse"}
    error = await fails(settings(secured.sasl, protocol="SASL_SSL", ca=secured.ca, **login))
    assert isinstance(error, ConfigurationError)
    assert "check security.username and security.password" in str(error)
    assert secured.sasl in str(error)


async def test_a_mechanism_that_the_broker_lacks_is_a_configuration_error(
    secured: Secured,
) -> None:
    login = {"mechanism": "SCRAM-SHA-256", "username": "bridge", "password": PASSWORD}
    error = await fails(settings(secured.sasl, protocol="SASL_SSL", ca=secured.ca, **login))
    assert isinstance(error, ConfigurationError)
    assert "check security.mechanism" in str(error)


async def test_an_unknown_authority_is_a_configuration_error(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_text(Authority("somebody else").certificate)
    login = {"mechanism": "PLAIN", "username": "bridge", "password": PASSWORD}
    error = await fails(
        settings(secured.sasl, protocol="SASL_SSL", ca=str(tmp_path / "other.pem"), **login)
    )
    assert isinstance(error, ConfigurationError)
    assert "check security.ca" in str(error)


async def test_a_file_that_is_not_there_is_named(secured: Secured) -> None:
    error = await fails(settings(secured.tls, protocol="SSL", ca="/nowhere/ca.pem"))
    assert isinstance(error, ConfigurationError)
    assert "/nowhere/ca.pem" in str(error)


async def test_tls_towards_a_plain_listener_says_what_may_be_wrong(secured: Secured) -> None:
    error = await fails(settings(secured.plain, protocol="SSL", ca=secured.ca))
    assert isinstance(error, RetryLater)
    assert "does it speak TLS" in str(error)
