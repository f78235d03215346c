"""The shape of the configuration files as pydantic models, without their meaning.

`bridgectl schema config` prints their JSON Schema for editors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from bridge.model.delete_limit import PATTERN, parse_delete_limit
from bridge.model.errors import ConfigurationError
from bridge.model.specs import DEFAULT_CACHE_BYTES
from bridge.model.types import parse_type
from bridge.model.web_address import check_host, split_web_address

MAX_PORT = 65_536
DEFAULT_AUDIT_SHARE = 0.01
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
"""The units of a duration."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[Text], BeforeValidator(_listed)]
Names = Annotated[list[Name], BeforeValidator(_listed)]


def _type(value: Any) -> Any:
    if isinstance(value, str):
        try:
            parse_type(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
    return value


TypeText = Annotated[str, BeforeValidator(_type)]


class StrictModel(BaseModel):
    """Base of all models of the files: no unknown keys, no input in errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, populate_by_name=True)


def _server(value: str) -> str:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})", value)
    if match is None or not 0 < int(match[3]) < MAX_PORT:
        raise ValueError("is not of the form host:port, such as k1:9092")
    check_host(match[1] or match[2])
    return value


class FieldModel(StrictModel):
    """One field of an entity: from which columns and through which transforms."""

    from_: Texts = Field(
        default_factory=list, alias="from", description="Source column, or several to be joined"
    )
    type: TypeText | None = Field(
        default=None, description="Field type; default: derived from the catalogue"
    )
    code_page: str = Field(default="", description="Code page of a column that holds bytes")
    trim: bool = Field(default=False, description="Remove blanks at both ends")
    format: str = Field(default="", description="strptime format of a date or time kept as text")
    zone: str = Field(default="", description="Zone of a local time, such as Europe/Berlin")
    map: dict[str, Any] | None = Field(default=None, description="Source value to value")
    zeros: int = Field(
        default=0, ge=0, le=255, description="Width to which the source pads with zeros"
    )
    unit: str = Field(default="", description='Exact decimal factor, as a text: "0.01" for cents')
    mask: Literal["", "hash", "drop"] = Field(default="", description="Hide personal data")
    call: str = Field(default="", description="package.module:function, called with the value")


RelationFields = (
    Name
    | Annotated[list[Name], Field(min_length=1)]
    | Annotated[dict[Name, Name], Field(min_length=1)]
    | None
)


class RelationModel(StrictModel):
    """A relation: to many (`by`) or to one (`from`)."""

    entity: Name = Field(description="Entity of the same system that the relation leads to")
    by: RelationFields = Field(
        default=None,
        description="Field of the other entity that holds this key; a list of several, in the order "
        "of the key's fields, or each with the field here whose value it holds",
    )
    from_: RelationFields = Field(
        default=None,
        alias="from",
        description="Field that holds the other key; a list of several, in the order of that key's "
        "fields, or each with the key's field whose value it holds",
    )


def _field(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


def _delete_limit(value: Any) -> Any:
    if isinstance(value, str):
        parse_delete_limit(value)
    return value


DeleteLimitText = (
    Annotated[int, Field(strict=True, ge=0, le=999_999_999_999)]
    | Annotated[str, StringConstraints(pattern=PATTERN), BeforeValidator(_delete_limit)]
)


Staleness = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(s|m|h|d)$")]


class EntityCacheModel(StrictModel):
    """How old answers about an entity may be."""

    max_staleness: Staleness = Field(
        default="5s",
        description="Age that an answer may have where the read doesn't say: 5s, 1m; 0s: "
        "nothing that was committed before the read is missing",
    )
    stale_if_error: Staleness = Field(
        default="0s",
        description="Age that an answer may have while the legacy system is unavailable, where the "
        "read makes no demands; 0s: no older than otherwise",
    )

    @model_validator(mode="after")
    def _is_longer(self) -> EntityCacheModel:
        stale, usual = _seconds(self.stale_if_error), _seconds(self.max_staleness)
        if 0 < stale <= usual:
            raise ValueError(
                "stale_if_error is not longer than max_staleness, so that it allows nothing more; "
                "make it longer, or leave it out"
            )
        return self


def _seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


MIN_CACHE_BYTES = 1_000_000


class SystemCacheModel(StrictModel):
    """What a process holds of a system that it reads and captures."""

    bytes: int = Field(
        default=DEFAULT_CACHE_BYTES,
        ge=0,
        le=1_000_000_000_000,
        description="Bytes of rows and lists at most, with their indexes; 0: nothing is held, and "
        "every read asks the system",
    )

    @model_validator(mode="after")
    def _holds_something(self) -> SystemCacheModel:
        if 0 < self.bytes < MIN_CACHE_BYTES:
            raise ValueError(f"bytes is 0 (nothing is held) or at least {MIN_CACHE_BYTES}")
        return self


class EntityModel(StrictModel):
    """An entity on top of a table."""

    from_: Text = Field(alias="from", description="Source table")
    key: Names = Field(default_factory=list, description="Key fields; default: the primary key")
    fields: dict[Name, Annotated[FieldModel, BeforeValidator(_field)]] = Field(
        default_factory=dict, description="Default: every column of the catalogue"
    )
    relations: dict[Name, RelationModel] = Field(
        default_factory=dict, description="Other entities that rows of this one lead to"
    )
    version: Name | None = Field(
        default=None, description="Field that the system increases with each change"
    )
    max_deletes: DeleteLimitText | None = Field(
        default=None,
        description="Deletes from one comparison with the table, in rows or as a share such as 25%, "
        "beyond which the entity is paused; default: a third of an entity of 100 rows or more",
    )
    view: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Whether reads are answered from a local copy of all rows; auto: if it is captured "
        "with every change and fits into `view_bytes`",
    )
    cache: EntityCacheModel = Field(default_factory=EntityCacheModel)


class ArgModel(StrictModel):
    """An argument of a command."""

    type: TypeText = Field(description="Field type")
    required: bool = Field(default=True, description="Whether a command without it is rejected")
    default: Any = Field(default=None, description="Value where a command has none")
    max_length: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Most characters of a text"
    )
    minimum: Any = Field(default=None, description="Least value")
    maximum: Any = Field(default=None, description="Greatest value")
    pattern: str = Field(default="", description="Regular expression that the whole text matches")
    choices: list[Any] = Field(default_factory=list, description="The only values allowed")


class CommandModel(StrictModel):
    """A command that agents may send."""

    entity: Name = Field(description="Entity whose row the command is about")
    run: Text = Field(
        description="Statement with :key (or :key_FIELD), :id (the command's) and :argument parameters"
    )
    probe: str = Field(
        default="",
        description="Query that finds whether the command took effect, if the system keeps no "
        "ledger",
    )
    args: dict[Name, ArgModel] = Field(default_factory=dict, description="Arguments by name")
    tier: Literal["in_the_loop", "on_the_loop", "outside_the_loop"] = Field(
        default="in_the_loop", description="Whether a person has to approve the command"
    )
    guards: list[Name] = Field(default_factory=list, description="Fields that `expect` covers")
    rows: Literal["one", "many"] = Field(
        default="one", description="How many rows the statement may affect"
    )


Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}(s|m|h|d)$")]


class WindowModel(StrictModel):
    """A sliding window: so many requests, or so many seconds of execution."""

    requests: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Requests in any time of that length"
    )
    seconds: float | None = Field(
        default=None, gt=0, le=1_000_000_000, description="Seconds that requests take together"
    )
    per: Duration = Field(description="Its length: 5m, 1h")

    @model_validator(mode="after")
    def _counts_one_thing(self) -> WindowModel:
        if (self.requests is None) == (self.seconds is None):
            raise ValueError(
                "a window counts requests or seconds: {requests: 6000, per: 5m}; write one for each"
            )
        return self


class LimitsModel(StrictModel):
    """Limits on the reads of a system, in its own currency. What isn't set here is the connector's
    published limit, if it has one for this system; see `bridgectl check`.
    """

    connections: int = Field(default=4, ge=1, le=1000, description="Reads at the same time")
    queries_per_second: float = Field(
        default=0, ge=0, le=1_000_000, description="Queries that begin per second; 0: any number"
    )
    burst: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Queries that may begin at once after a quiet time; 1: evenly spaced",
    )
    windows: list[WindowModel] = Field(
        default_factory=list, max_length=20, description="Sliding windows; all of them hold"
    )
    batch_operations: int = Field(
        default=0, ge=0, le=1_000_000, description="Operations in one `$batch`; 0: the connector's"
    )
    rows_per_second: float = Field(
        default=0, ge=0, le=1_000_000_000, description="Rows of all answers; 0: any number"
    )
    max_rows: int = Field(
        default=0, ge=0, le=1_000_000_000, description="Rows of one answer; 0: any number"
    )

    total_connections: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Of everything the bridge does there, in all of its processes; 0: any number",
    )
    surface_connections: int = Field(
        default=1, ge=1, le=1000, description="Of these, for bridgectl beside what runs"
    )
    processes: int = Field(
        default=1, ge=1, le=1000, description="Processes that run parts of the bridge"
    )

    @model_validator(mode="after")
    def _has_a_rate(self) -> LimitsModel:
        if self.burst > 1 and not self.queries_per_second:
            raise ValueError("burst goes with queries_per_second: without a rate any number begins")
        return self


class TlsModel(StrictModel):
    """TLS for HTTP: an OData service, Tryton, a registry. Files are PEM."""

    ca: str = Field(default="", description="File with the authorities to trust")
    certificate: str = Field(default="", description="File with the client's certificate")
    key: str = Field(
        default="", description="File with its private key, if the certificate's file has none"
    )
    key_password: str = Field(
        default="", description="Password of the key, by reference: ${env:NAME}"
    )

    @model_validator(mode="after")
    def _has_certificate(self) -> TlsModel:
        if not self.certificate and (self.key or self.key_password):
            raise ValueError("key and key_password go with a certificate")
        return self


class GatewayModel(StrictModel):
    """Reads of this system by one process for all others (`bridgectl run --only gateway`)."""

    socket: str = Field(
        default="",
        description="Path of its socket on this machine; default: gateway-SYSTEM.sock beside the "
        "embedded log, or beside bridge.yaml",
    )
    tcp: Annotated[str, AfterValidator(_server)] | None = Field(
        default=None, description="In place of a socket: host:port where it listens, with TLS"
    )
    tls: TlsModel | None = Field(
        default=None, description="For tcp: its certificate and key; the authority, for clients"
    )
    token: str = Field(
        default="", description="For tcp: what clients have to know, by reference: ${file:PATH}"
    )
    lease: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}(s|m)$")] = Field(
        default="10s",
        description="After how long without a word of it in the log another process takes over",
    )

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> GatewayModel:
        if self.tcp is None:
            if self.token or self.tls is not None:
                raise ValueError("token and tls go with tcp: a socket is for its own user alone")
        elif self.socket:
            raise ValueError("socket and tcp exclude each other")
        elif not self.token:
            raise ValueError("tcp needs a token: token: ${file:/run/secrets/gateway}")
        return self


class SystemModel(StrictModel):
    """systems/NAME.yaml: one legacy system."""

    system: Name = Field(description="The system's name: first half of `system.entity`")
    connector: Text = Field(description="Name of the connector that talks to the system")
    url: Text = Field(description="The database or service; secrets by reference")
    mask_key: str = Field(default="", description="Reference to the key of `mask: hash`")
    capture: dict[str, Any] = Field(default_factory=dict, description="The connector's options")
    login: dict[str, Any] = Field(
        default_factory=dict, description="How the connector logs in; secrets by reference"
    )
    tls: TlsModel | None = Field(default=None, description="For connectors that use HTTP")
    limits: LimitsModel = Field(default_factory=LimitsModel)
    view_bytes: int = Field(
        default=1_000_000_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Bytes of disk that local copies of its entities may take",
    )
    peers: bool = Field(
        default=True,
        description="Whether a loop that awaits one read for each row reads the others' with it",
    )
    gateway: GatewayModel | None = Field(
        default=None, description="One process that reads this system for all others; {}: defaults"
    )
    cache: SystemCacheModel = Field(default_factory=SystemCacheModel)
    entities: dict[Name, EntityModel] = Field(
        min_length=1, description="What is captured and read, by name"
    )
    commands: dict[Name, CommandModel] = Field(
        default_factory=dict, description="What agents may do, by name"
    )


class SecurityModel(StrictModel):
    """How to log in to Kafka."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Kafka's security.protocol"
    )
    mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="", description="Kafka's sasl.mechanism"
    )
    username: str = Field(default="", description="The user of SASL")
    password: str = Field(default="", description="By reference: ${env:KAFKA_PASSWORD}")
    ca: str = Field(default="", description="File of the certificate authority")
    certificate: str = Field(default="", description="File with the client's certificate")
    private_key: str = Field(default="", description="File with its key")


def _web(value: str) -> str:
    try:
        split_web_address(value)
    except ValueError as error:
        raise ValueError(
            f"is not an address such as http://registry:8080/apis/ccompat/v7: {error}"
        ) from None
    return value


class RegistryModel(StrictModel):
    """A Confluent-compatible schema registry. Without one the embedded registry is used."""

    url: Annotated[str, AfterValidator(_web)] = Field(description="Address of its API")
    username: str = Field(default="", description="The user of HTTP Basic authentication")
    password: str = Field(default="", description="By reference")
    tls: TlsModel | None = None


Servers = Annotated[list[Annotated[str, AfterValidator(_server)]], BeforeValidator(_listed)]


class KafkaModel(StrictModel):
    """Apache Kafka as the log."""

    servers: Servers = Field(min_length=1, description="host:port of some brokers")
    security: SecurityModel = Field(default_factory=SecurityModel)
    registry: RegistryModel | None = None
    partitions: int = Field(
        default=6, ge=1, le=10000, description="Of topics that the bridge creates"
    )
    replication: int = Field(default=-1, ge=-1, le=32767, description="-1: the broker's default")
    min_insync: int | None = Field(
        default=None,
        ge=1,
        le=32767,
        description="min.insync.replicas of topics; default: the broker's",
    )


class LogModel(StrictModel):
    """The log in long form."""

    kafka: KafkaModel | None = None
    sqlite: Text | None = Field(default=None, description="Path of the embedded log's file")
    partitions: int | None = Field(default=None, ge=1, le=10000, description="Embedded log only")


MAX_HISTORY_D = 36_500


def _history(value: str) -> str:
    if int(value[:-1]) * SECONDS[value[-1]] > MAX_HISTORY_D * SECONDS["d"]:
        raise ValueError(f"is longer than {MAX_HISTORY_D}d")
    return value


class BudgetModel(StrictModel):
    """What one agent may read."""

    reads: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Rows, keys and queries that it asks for in any time of `per`; 0: any number",
    )
    per: Duration = Field(default="1h", description="The length of that window: 10m, 1h")
    per_event: int = Field(
        default=0, ge=0, le=1_000_000_000, description="For one attempt at one event; 0: any number"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> BudgetModel:
        if not self.reads and not self.per_event:
            raise ValueError("a budget limits reads or per_event: {reads: 10000, per: 1h}")
        return self


class ReadsModel(StrictModel):
    """How the bridge reads its systems."""

    audit: float = Field(
        default=DEFAULT_AUDIT_SHARE,
        ge=0,
        le=1,
        description="Share of the rows answered by the cache that are compared with the system "
        "itself; at most one in a second; 0: none",
    )


class BridgeModel(StrictModel):
    """bridge.yaml: the bridge itself."""

    bridge: Name = Field(description="The bridge's name: prefix of every topic")
    log: Text | LogModel = Field(description="The event log: sqlite:///PATH, kafka://HOST:PORT")
    systems: Texts = Field(
        default_factory=lambda: ["systems/*.yaml"], description="Files of systems, or patterns"
    )
    agents: Texts = Field(
        default_factory=list, description="Files of agents, patterns, or package.module:name"
    )
    budgets: dict[Text, BudgetModel] = Field(
        default_factory=dict, description="What agents may read, by their names; others: anything"
    )
    history: Annotated[
        str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}(s|m|h|d)$"), AfterValidator(_history)
    ] = Field(default="30d", description="How long every event of a change topic is kept: 30d, 12h")
    max_record_bytes: int = Field(
        default=900_000,
        ge=1_000,
        le=100_000_000,
        description="Larger records go to the dead-letter topic",
    )
    view_folder: Text | None = Field(
        default=None,
        description="Folder of the files with local copies of entities; default: views beside the "
        "embedded log, var/views beside this file on Kafka",
    )
    gateway: ReadsModel = Field(default_factory=ReadsModel)
    stalled_after: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,5}(s|m|h|d)$")] = Field(
        default="15m",
        description="How long something that has work to do may make no progress before "
        "bridgectl status reports it as stalled: 15m, 2h",
    )
