"""The files' own shape, as pydantic models: what stands where, without its meaning.

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
from bridge.model.types import parse_type
from bridge.model.web_address import check_host, split_web_address

MAX_PORT = 65_536
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
    """What every model of the files has in common: no unknown key, no input in errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, populate_by_name=True)


class FieldModel(StrictModel):
    """One field of an entity: from which columns and through which transforms."""

    from_: Texts = Field(
        default_factory=list, alias="from", description="Source column, or several to be joined"
    )
    type: TypeText | None = Field(
        default=None, description="Field type; default: what the catalogue says"
    )
    code_page: str = Field(default="", description="Code page of a column that holds bytes")
    trim: bool = Field(default=False, description="Cut blanks off both ends")
    format: str = Field(default="", description="strptime format of a date or time kept as text")
    zone: str = Field(default="", description="Zone of a local time, such as Europe/Berlin")
    map: dict[str, Any] | None = Field(default=None, description="Source value to value")
    zeros: int = Field(
        default=0, ge=0, le=255, description="Width to which the source pads with zeros"
    )
    unit: str = Field(default="", description='Exact decimal factor, as a text: "0.01" for cents')
    mask: Literal["", "hash", "drop"] = Field(default="", description="Hide personal data")
    call: str = Field(default="", description="package.module:function, called with the value")


class RelationModel(StrictModel):
    """A relation: to many (`by`) or to one (`from`)."""

    entity: Name
    by: Name | None = Field(
        default=None, description="Field of the other entity that holds this key"
    )
    from_: Name | None = Field(
        default=None, alias="from", description="Field that holds the other key"
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


class EntityModel(StrictModel):
    """An entity on top of a table."""

    from_: Text = Field(alias="from", description="Source table")
    key: Names = Field(default_factory=list, description="Key fields; default: the primary key")
    fields: dict[Name, Annotated[FieldModel, BeforeValidator(_field)]] = Field(
        default_factory=dict, description="Default: every column, as the catalogue tells"
    )
    relations: dict[Name, RelationModel] = Field(default_factory=dict)
    version: Name | None = Field(
        default=None, description="Field that the system raises at each change"
    )
    max_deletes: DeleteLimitText | None = Field(
        default=None,
        description="Deletes from one comparison with the table, in rows or as a share such as 25%, "
        "beyond which the entity is paused; default: a third of an entity of 100 rows or more",
    )


class ArgModel(StrictModel):
    """An argument of a command."""

    type: TypeText
    required: bool = True
    default: Any = None
    max_length: int | None = Field(default=None, ge=1, le=1_000_000_000)
    minimum: Any = None
    maximum: Any = None
    pattern: str = ""
    choices: list[Any] = Field(default_factory=list)


class CommandModel(StrictModel):
    """A command that agents may send."""

    entity: Name
    run: Text = Field(
        description="Statement with :key (or :key_FIELD), :id (the command's) and :argument parameters"
    )
    probe: str = Field(
        default="",
        description="What tells whether the command has happened, where the system keeps no ledger",
    )
    args: dict[Name, ArgModel] = Field(default_factory=dict)
    tier: Literal["in_the_loop", "on_the_loop", "outside_the_loop"] = "in_the_loop"
    guards: list[Name] = Field(default_factory=list, description="Fields that `expect` covers")
    rows: Literal["one", "many"] = "one"


class LimitsModel(StrictModel):
    """Ceilings under which a system is read."""

    connections: int = Field(default=4, ge=1, le=1000)
    queries_per_second: float = Field(default=0, ge=0, le=1_000_000, description="0: any")


class TlsModel(StrictModel):
    """TLS of what speaks HTTP: an OData service, Tryton, a registry. Files are PEM."""

    ca: str = Field(default="", description="File with the authorities to trust")
    certificate: str = Field(default="", description="File with the client's certificate")
    key: str = Field(default="", description="File with its key, where the certificate's has none")
    key_password: str = Field(
        default="", description="What the key is locked with, by reference: ${env:NAME}"
    )

    @model_validator(mode="after")
    def _has_certificate(self) -> TlsModel:
        if not self.certificate and (self.key or self.key_password):
            raise ValueError("key and key_password go with a certificate")
        return self


class SystemModel(StrictModel):
    """systems/NAME.yaml: one legacy system."""

    system: Name
    connector: Text
    url: Text
    mask_key: str = Field(default="", description="Reference to the key of `mask: hash`")
    capture: dict[str, Any] = Field(default_factory=dict, description="The connector's options")
    login: dict[str, Any] = Field(
        default_factory=dict, description="How the connector logs in; secrets by reference"
    )
    tls: TlsModel | None = Field(default=None, description="Of connectors that speak HTTP")
    limits: LimitsModel = Field(default_factory=LimitsModel)
    entities: dict[Name, EntityModel] = Field(min_length=1)
    commands: dict[Name, CommandModel] = Field(default_factory=dict)


class SecurityModel(StrictModel):
    """How to log in to Kafka."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    username: str = ""
    password: str = Field(default="", description="By reference: ${env:KAFKA_PASSWORD}")
    ca: str = Field(default="", description="File of the certificate authority")
    certificate: str = ""
    private_key: str = ""


def _web(value: str) -> str:
    try:
        split_web_address(value)
    except ValueError as error:
        raise ValueError(
            f"is no address such as http://registry:8080/apis/ccompat/v7: {error}"
        ) from None
    return value


class RegistryModel(StrictModel):
    """A Confluent-compatible schema registry. Without one the embedded registry serves."""

    url: Annotated[str, AfterValidator(_web)]
    username: str = ""
    password: str = Field(default="", description="By reference")
    tls: TlsModel | None = None


def _server(value: str) -> str:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})", value)
    if match is None or not 0 < int(match[3]) < MAX_PORT:
        raise ValueError("is not of the form host:port, such as k1:9092")
    check_host(match[1] or match[2])
    return value


Servers = Annotated[list[Annotated[str, AfterValidator(_server)]], BeforeValidator(_listed)]


class KafkaModel(StrictModel):
    """Apache Kafka as the log."""

    servers: Servers = Field(min_length=1)
    security: SecurityModel = Field(default_factory=SecurityModel)
    registry: RegistryModel | None = None
    partitions: int = Field(default=6, ge=1, le=10000)
    replication: int = Field(default=-1, ge=-1, le=32767, description="-1: the broker's default")
    min_insync: int | None = Field(default=None, ge=1, le=32767)


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


class BridgeModel(StrictModel):
    """bridge.yaml: the bridge itself."""

    bridge: Name
    log: Text | LogModel
    systems: Texts = Field(default_factory=lambda: ["systems/*.yaml"])
    agents: Texts = Field(default_factory=list)
    history: Annotated[
        str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}(s|m|h|d)$"), AfterValidator(_history)
    ] = Field(default="30d", description="How long every event of a change topic is kept: 30d, 12h")
    max_record_bytes: int = Field(default=900_000, ge=1_000, le=100_000_000)
    stalled_after: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,5}(s|m|h|d)$")] = Field(
        default="15m",
        description="How long something that has work to do may be without progress until "
        "bridgectl status calls it stalled: 15m, 2h",
    )
