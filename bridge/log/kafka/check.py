"""Checks whether a cluster has what a bridge needs; each finding names the setting to change."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import codec
from aiokafka.errors import KafkaError

from bridge.log.check_port import LogFinding
from bridge.log.kafka.errors import reason
from bridge.log.kafka.metadata import ClusterView, TopicRights, view
from bridge.log.kafka.settings import MAX_BATCH_BYTES, KafkaSettings, client_arguments
from bridge.model.errors import ConfigurationError

#: Seconds that a server may take to accept, log in and answer.
SERVER_TIMEOUT_S: Final = 5.0
#: The same for the other servers of a list, once one has answered.
OTHERS_TIMEOUT_S: Final = 1.0
#: Topics that are named if many have the same problem.
MAX_NAMED: Final = 3
NEEDS_CODEC: Final = {"zstd": codec.has_zstd, "snappy": codec.has_snappy, "lz4": codec.has_lz4}

Answer = ClusterView | Exception


async def server_findings(
    settings: KafkaSettings, topics: Sequence[str]
) -> tuple[list[LogFinding], Mapping[str, TopicRights]]:
    """Query each server of the list, then connect to each broker that they name.

    Returns the findings, and the topics as this user sees them.
    """
    arguments = client_arguments(settings)
    servers = [_address(server) for server in settings.servers]
    answers = await _views(servers, arguments, topics)
    views = {at: answer for at, answer in answers.items() if isinstance(answer, ClusterView)}
    if not views:
        # Opening the log reports that.
        return [], {}
    findings = [*_silent(answers), *_clusters(views)]
    brokers = {broker for each in views.values() for broker in each.brokers} - views.keys()
    reached = await _views(sorted(brokers), arguments, ())
    findings += _unreachable(reached)
    return findings, next(iter(views.values())).topics


async def check_one_cluster(settings: KafkaSettings, arguments: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if servers of the list belong to several clusters. A server that
    doesn't answer at once is not waited for, because the others may suffice.
    """
    servers = [_address(server) for server in settings.servers]
    if len(servers) < 2:
        return
    answers = await _views(servers, arguments, (), OTHERS_TIMEOUT_S)
    views = {at: answer for at, answer in answers.items() if isinstance(answer, ClusterView)}
    for finding in _clusters(views):
        raise ConfigurationError(f"{settings.name}: {finding.text}: {finding.hint}")


async def _views(
    servers: Iterable[tuple[str, int]],
    arguments: Mapping[str, Any],
    topics: Sequence[str],
    timeout: float = SERVER_TIMEOUT_S,
) -> dict[tuple[str, int], Answer]:
    distinct_servers = list(dict.fromkeys(servers))
    return dict(
        zip(
            distinct_servers,
            await asyncio.gather(
                *(_view(server, arguments, topics, timeout) for server in distinct_servers)
            ),
            strict=True,
        )
    )


async def _view(
    server: tuple[str, int], arguments: Mapping[str, Any], topics: Sequence[str], timeout: float
) -> Answer:
    try:
        async with asyncio.timeout(timeout):
            return await view(server, arguments, topics, timeout)
    except TimeoutError:
        return TimeoutError("no answer in time")
    except (KafkaError, OSError, ValueError, NotImplementedError) as error:
        return error


def _silent(answers: Mapping[tuple[str, int], Answer]) -> Iterator[LogFinding]:
    for server, answer in answers.items():
        if isinstance(answer, Exception):
            yield LogFinding(
                f"{_text(server)} does not answer: {reason(answer)}",
                "log.kafka.servers names it",
                fatal=False,
            )


def _clusters(views: Mapping[tuple[str, int], ClusterView]) -> Iterator[LogFinding]:
    by_id: dict[str, list[str]] = {}
    for server, each in views.items():
        by_id.setdefault(each.cluster_id, []).append(_text(server))
    if len(by_id) > 1:
        clusters = "; ".join(
            f"{', '.join(servers)}: {cluster_id}" for cluster_id, servers in by_id.items()
        )
        yield LogFinding(
            f"the servers belong to {len(by_id)} clusters ({clusters}): the log would be split",
            "name the servers of one cluster in log.kafka.servers",
        )


def _unreachable(reached: Mapping[tuple[str, int], Answer]) -> Iterator[LogFinding]:
    for broker, answer in reached.items():
        if isinstance(answer, (OSError, KafkaError)):
            why = errno.errorcode.get(getattr(answer, "errno", 0) or 0, "") or reason(answer)
            yield LogFinding(
                f"the cluster directs its clients to {_text(broker)}, which can't be "
                f"reached from here ({why})",
                "set advertised.listeners of that broker to an address that is reachable from this "
                "machine, or make that one reachable",
            )


def rights_findings(topics: Mapping[str, TopicRights], user: str) -> Iterator[LogFinding]:
    """Findings about operations on topics that the user may not perform."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for name, rights in sorted(topics.items()):
        if rights.missing:
            lacking.setdefault(rights.missing, []).append(name)
    for missing, names in lacking.items():
        yield LogFinding(
            f"{user} does not have {', '.join(missing)} on {_first_names(names, 'topic')}",
            "grant Create, Describe, DescribeConfigs, Read and Write on the topics with the "
            "bridge's two prefixes",
        )


def settings_findings(
    settings: Mapping[str, Mapping[str, str | None]], topics: Mapping[str, TopicRights]
) -> Iterator[LogFinding]:
    """Findings about settings of existing topics that will make writing or reading fail."""
    for name, entries in sorted(settings.items()):
        size = int(entries.get("max.message.bytes") or MAX_BATCH_BYTES)
        if size < MAX_BATCH_BYTES:
            yield LogFinding(
                f"topic {name} takes batches of {size} bytes: larger ones will be refused",
                f"set its max.message.bytes to {MAX_BATCH_BYTES} or more",
            )
        insync = int(entries.get("min.insync.replicas") or 1)
        rights = topics.get(name)
        if rights is not None and 0 < rights.replicas < insync:
            yield LogFinding(
                f"topic {name} has {rights.replicas} replicas and wants {insync} in sync: nothing "
                "can be written to it",
                "lower its min.insync.replicas, or add replicas",
            )
        compression = entries.get("compression.type") or ""
        if not NEEDS_CODEC.get(compression, _has_codec)():
            yield LogFinding(
                f"topic {name} is compressed by {compression}, and what reads it isn't installed",
                "pip install 'legacy-bridge[kafka]'",
            )
        if "delete" in (entries.get("cleanup.policy") or "") and _limited(entries):
            yield LogFinding(
                f"topic {name} keeps {entries['retention.bytes']} bytes of each partition: what is "
                "older is removed, read or not",
                "set its retention.bytes to -1",
                fatal=False,
            )


def _has_codec() -> bool:
    return True


def _limited(entries: Mapping[str, str | None]) -> bool:
    return int(entries.get("retention.bytes") or -1) >= 0


def _first_names(names: Sequence[str], noun: str) -> str:
    first_names = ", ".join(names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{noun} {first_names}" + (f" and {more} more" if more > 0 else "")


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _text(server: tuple[str, int]) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
