"""Mistakes with Kafka, a registry, OData, Tryton and a journal, seeded one at a time, as in
`test_check_finds`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.log.kafka import KafkaLog
from bridge.log.kafka.settings import KafkaSettings
from bridge.log.port import TopicSpec
from tests.bad_input.erp import demo_erp
from tests.bad_input.guarded_bridge import GuardedBridge
from tests.bad_input.service import GuardedService, service
from tests.cli.mistakes import ConfigMistake, Data, change, closed_port, finds, mistakes
from tests.http_proxy import CannedResponse, HttpProxy, Rule, alone, standing
from tests.services.cap import Cap
from tests.services.kafka import Kafka
from tests.services.tryton import Tryton
from tests.services.tryton_company import PASSWORD as TRYTON_PASSWORD

# -- the log and its registry -------------------------------------------------------------------


class Logged:
    """A bridge of its own name on the shared broker, and a registry that answers by `rule`."""

    def __init__(self, folder: Path, kafka: Kafka, registry: HttpProxy) -> None:
        self.name = f"finds{secrets.token_hex(4)}"
        self.kafka, self.registry = kafka, registry
        service_setup = demo_erp(folder)
        self.bridge = service_setup.bridge
        self.bridge.secrets["REGISTRY_PASSWORD"] = "r3gistry-p@ss"
        self.log(registry=None)

    def log(self, **more: Any) -> None:
        def edit(data: Data) -> None:
            kafka = {"servers": [self.kafka.bootstrap], "partitions": 2, "replication": 1, **more}
            data["bridge"] = self.name
            data["log"] = {
                "kafka": {name: item for name, item in kafka.items() if item is not None}
            }

        change(self.bridge.config, edit)

    def answers(self, rule: Rule) -> None:
        self.registry.rule = rule
        url = f"{self.registry.address}/apis/ccompat/v7"
        about = {"url": url, "username": "me", "password": "${env:REGISTRY_PASSWORD}"}
        self.log(registry=about)

    async def create(self, *specs: TopicSpec) -> None:
        log = KafkaLog(KafkaSettings((self.kafka.bootstrap,), partitions=2, replication=1))
        await log.open()
        try:
            await log.create_topics(specs)
        finally:
            await log.close()


@pytest.fixture
def logged(tmp_path: Path, kafka: Kafka) -> Iterator[Logged]:
    with standing(alone(lambda _: CannedResponse(404))) as registry:
        yield Logged(tmp_path / "bridge", kafka, registry)


def test_the_ground_on_kafka_is_well(logged: Logged) -> None:
    answer = logged.bridge.inside("check")
    assert answer.code == 0, answer


@mistakes(
    ConfigMistake(
        "broker away",
        lambda service_setup: service_setup.log(servers=[f"127.0.0.1:{closed_port()}"]),
        1,
        ["no Kafka server answers", "127.0.0.1"],
    ),
    ConfigMistake(
        "TLS against a listener without it",
        lambda service_setup: service_setup.log(security={"protocol": "SSL"}),
        1,
        ["does it speak TLS, as SSL asks for?"],
    ),
    ConfigMistake(
        "login without a mechanism",
        lambda service_setup: service_setup.log(
            security={
                "protocol": "SASL_SSL",
                "username": "me",
                "password": "${env:REGISTRY_PASSWORD}",
            }
        ),
        2,
        ["security.mechanism", "needs one of PLAIN"],
    ),
    ConfigMistake(
        "more replicas than brokers",
        lambda service_setup: service_setup.log(replication=3),
        1,
        ["eplication", "3"],
    ),
    ConfigMistake(
        "registry away",
        lambda service_setup: service_setup.log(
            registry={"url": f"http://127.0.0.1:{closed_port()}/apis"}
        ),
        1,
        ["registry", "is away"],
    ),
    ConfigMistake(
        "registry refuses the login",
        lambda service_setup: service_setup.answers(lambda _: CannedResponse(401)),
        1,
        ["401", "check registry.username and registry.password"],
    ),
    ConfigMistake(
        "no registry at that path",
        lambda service_setup: service_setup.answers(lambda _: CannedResponse(404, b"no such page")),
        1,
        ["404", "/apis/ccompat/v7"],
    ),
    ConfigMistake(
        "login in the registry's address",
        lambda service_setup: service_setup.log(
            registry={"url": "https://me:${env:REGISTRY_PASSWORD}@registry/apis"}
        ),
        2,
        ["bridge.yaml:", "takes no login", "write username: and password:"],
        offline=True,
    ),
    ConfigMistake(
        "old key of the registry",
        lambda service_setup: service_setup.log(
            registry={"url": "https://registry/apis", "ca": "ca.pem"}
        ),
        2,
        ["bridge.yaml:", "it is now 'ca' of `tls:` under `registry:`"],
        offline=True,
    ),
    ConfigMistake(
        "authority's file that isn't there",
        lambda service_setup: service_setup.log(
            registry={"url": "https://registry/apis", "tls": {"ca": "ca.pem"}}
        ),
        2,
        ["bridge.yaml", "registry", "ca.pem", "No such file"],
        offline=True,
    ),
)
def test_a_mistake_with_the_log_is_found(logged: Logged, mistake: ConfigMistake) -> None:
    mistake.seed(logged)
    finds(logged.bridge, mistake)


@mistakes(
    ConfigMistake(
        "positions that are deleted",
        lambda service_setup: TopicSpec(f"_{service_setup.name}.positions", "delete", partitions=1),
        1,
        ["cleanup is delete instead of compact", "topic _finds", ".positions"],
    ),
    ConfigMistake(
        "other partitions than configured",
        lambda service_setup: TopicSpec(f"{service_setup.name}.commands", "delete", partitions=3),
        1,
        ["3 partitions instead of 2", "order of a key would be lost"],
    ),
    ConfigMistake(
        "commands that are forgotten after an hour",
        lambda service_setup: TopicSpec(
            f"{service_setup.name}.commands", "delete", retention_ms=3_600_000
        ),
        0,
        ["warning", "keeps records for 1h instead of ever", "change the topic's retention"],
    ),
    ConfigMistake(
        "changes that are compacted at once",
        lambda service_setup: TopicSpec(
            f"{service_setup.name}.erp.customer", "compact", history_ms=60_000
        ),
        0,
        ["warning", "keeps every event for 1m instead of 30d", "min.compaction.lag.ms"],
    ),
)
def test_a_topic_that_is_otherwise_is_found(logged: Logged, mistake: ConfigMistake) -> None:
    spec: Any = mistake.seed(logged)
    asyncio.run(logged.create(spec))
    finds(logged.bridge, mistake)


# -- OData ---------------------------------------------------------------------------------------


@pytest.fixture
def odata(tmp_path: Path, cap: Cap) -> Iterator[GuardedService]:
    with service(tmp_path / "bridge", cap) as service_setup:
        service_setup.put("Customers", "C1", name="Ann")
        yield service_setup


def test_the_ground_on_odata_is_well(odata: GuardedService) -> None:
    answer = odata.bridge.inside("check")
    assert answer.code == 0, answer


def edit(of: Callable[[Data], object]) -> Callable[[GuardedService], object]:
    return lambda service_setup: change(service_setup.file, of)


@mistakes(
    ConfigMistake(
        "wrong password",
        lambda service_setup: service_setup.bridge.secret("ERP_PASSWORD", "wr0ng-p@ss"),
        1,
        ["system 'erp'", "the login was refused (401)", "check the user and the password"],
    ),
    ConfigMistake(
        "service away",
        edit(
            lambda data: data.update(
                url=f"http://me:${{env:ERP_PASSWORD}}@127.0.0.1:{closed_port()}/x/"
            )
        ),
        1,
        ["system 'erp'", "can't be reached"],
    ),
    ConfigMistake(
        "no service at that path",
        edit(lambda data: data.update(url=data["url"].rstrip("/") + "nosuch/")),
        1,
        ["system 'erp'", "404"],
    ),
    ConfigMistake(
        "entity set misspelled",
        edit(lambda data: data["entities"]["customer"].update({"from": "Custmers"})),
        1,
        ["Custmers", "Customers"],
    ),
    ConfigMistake(
        "property misspelled",
        edit(lambda data: data["entities"]["customer"]["fields"].update(name={"from": "nme"})),
        2,
        ["systems/erp.yaml:", "nme", "name"],
    ),
    ConfigMistake(
        "command on a set that isn't there",
        edit(
            lambda data: data["commands"]["rename_customer"].update(
                run="PATCH Custmers(:key) name=:name"
            )
        ),
        2,
        ["systems/erp.yaml:", "Custmers"],
    ),
    ConfigMistake(
        "key of the API in clear",
        edit(lambda data: data.update(url="https://erp/odata/?api_key=gEh3im")),
        2,
        ["systems/erp.yaml:", "holds a secret (api_key) in clear", "${env:NAME}"],
        offline=True,
    ),
    ConfigMistake(
        "login over plain http",
        edit(lambda data: data.update(url="http://me:${env:ERP_PASSWORD}@erp.example/odata/")),
        0,
        ["systems/erp.yaml:", "warning", "over plain http", "use https://"],
        offline=True,
    ),
    ConfigMistake(
        "two ways to log in",
        edit(lambda data: data.update(login={"user": "me", "password": "${env:ERP_PASSWORD}"})),
        1,
        ["system 'erp'", "are two ways: use one"],
    ),
    ConfigMistake(
        "old place of certificates",
        edit(lambda data: data.update(login={"ca": "ca.pem"})),
        2,
        ["systems/erp.yaml:", "it is now 'ca' of `tls:` beside `login:`"],
        offline=True,
    ),
)
def test_a_mistake_with_an_odata_service_is_found(
    odata: GuardedService, mistake: ConfigMistake
) -> None:
    mistake.seed(odata)
    finds(odata.bridge, mistake)


# -- Tryton --------------------------------------------------------------------------------------


class ServiceSetup:
    """A bridge over Tryton's ERP."""

    def __init__(self, folder: Path, tryton: Tryton) -> None:
        folder.mkdir()
        self.bridge = GuardedBridge(folder, {"ERP_PASSWORD": TRYTON_PASSWORD})
        self.file = folder / "erp.yaml"
        self.bridge.config.write_text("bridge: acme\nlog: sqlite:///bridge.db\nsystems: erp.yaml\n")
        fields = {"id": "id", "name": "name", "code": "code"}
        data = {
            "system": "erp",
            "connector": "tryton",
            "url": f"{tryton.address}/erp",
            "login": {"user": "admin", "password": "${env:ERP_PASSWORD}"},
            "entities": {"party": {"from": "party.party", "fields": fields}},
        }
        self.file.write_text(json.dumps(data))


@pytest.fixture
def on_tryton(tmp_path: Path, tryton: Tryton) -> ServiceSetup:
    return ServiceSetup(tmp_path / "bridge", tryton)


def test_the_ground_on_tryton_is_well(on_tryton: ServiceSetup) -> None:
    answer = on_tryton.bridge.inside("check")
    assert answer.code == 0, answer


@mistakes(
    ConfigMistake(
        "unknown user",
        edit(lambda data: data["login"].update(user="nobody")),
        1,
        ["Tryton refuses user 'nobody' of database 'erp'"],
    ),
    ConfigMistake(
        "wrong database",
        edit(lambda data: data.update(url=data["url"].replace("/erp", "/nosuch"))),
        1,
        ["system 'erp'", "there is no such database", "https://HOST:PORT/DATABASE"],
    ),
    ConfigMistake(
        "model misspelled",
        edit(lambda data: data["entities"]["party"].update({"from": "party.prty"})),
        1,
        ["party.prty"],
    ),
    ConfigMistake(
        "field misspelled",
        edit(lambda data: data["entities"]["party"]["fields"].update(name="nme")),
        2,
        ["erp.yaml:", "nme"],
    ),
    ConfigMistake(
        "address without a database",
        edit(lambda data: data.update(url=data["url"].replace("/erp", ""))),
        1,
        ["`url` is not https://HOST:PORT/DATABASE"],
    ),
)
def test_a_mistake_with_tryton_is_found(on_tryton: ServiceSetup, mistake: ConfigMistake) -> None:
    mistake.seed(on_tryton)
    finds(on_tryton.bridge, mistake)


# -- a journal -----------------------------------------------------------------------------------


def test_a_journal_that_is_not_set_up_is_found(tmp_path: Path) -> None:
    service_setup = demo_erp(tmp_path / "bridge", set_up=False)
    finds(
        service_setup.bridge, ConfigMistake("no set-up", lambda _: None, 1, ["erp", "CREATE TABLE"])
    )


@pytest.mark.usefixtures("processes")
@mistakes(
    ConfigMistake(
        "database gone",
        lambda service_setup: service_setup.database.unlink(),
        1,
        ["there is no SQLite database"],
    ),
    ConfigMistake(
        "table gone", lambda service_setup: service_setup.sql("drop table kna1"), 1, ["kna1"]
    ),
    ConfigMistake(
        "ledger gone",
        lambda service_setup: service_setup.sql("drop table bridge_ledger"),
        1,
        ["bridge_ledger"],
    ),
    ConfigMistake(
        "trigger gone",
        lambda service_setup: [
            service_setup.sql(f"drop trigger {name}")
            for (name,) in service_setup.sql(
                "select name from sqlite_master where type = 'trigger' and tbl_name = 'kna1'"
            )
        ],
        1,
        ["kna1", "trigger"],
    ),
)
def test_a_mistake_with_a_journal_is_found(tmp_path: Path, mistake: ConfigMistake) -> None:
    service_setup = demo_erp(tmp_path / "bridge")
    mistake.seed(service_setup)
    finds(service_setup.bridge, mistake)
