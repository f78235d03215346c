"""The design's own configuration, as files and as data that tests can break."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ENVIRON = {"ERP_PASSWORD": "s3cr3t/p@ss", "MASK": "m4sk", "KAFKA_PASSWORD": "k4fka"}

BRIDGE: dict[str, Any] = {
    "bridge": "acme",
    "log": "sqlite:///var/bridge.db",
    "systems": "systems/*.yaml",
    "agents": ["agents/*.py"],
    "history": "30d",
    "max_record_bytes": 900000,
}

SYSTEM: dict[str, Any] = {
    "system": "erp",
    "connector": "postgres",
    "url": "postgresql://bridge:${env:ERP_PASSWORD}@erp-db:5432/erp",
    "mask_key": "${env:MASK}",
    "capture": {"publication": "bridge", "slot": "bridge_erp"},
    "limits": {"connections": 4, "queries_per_second": 50},
    "entities": {
        "sales_order": {
            "from": "vbak",
            "key": "order_no",
            "fields": {
                "order_no": {"from": "vbeln", "zeros": 10},
                "customer_id": {"from": "kunnr", "zeros": 10},
                "status": {"from": "gbstk", "map": {"A": "open", "B": "partial", "C": "done"}},
                "total": {"from": "netwr", "type": "decimal(15,2)"},
                "ordered_at": {
                    "from": ["erdat", "erzet"],
                    "format": "%Y%m%d%H%M%S",
                    "zone": "Europe/Berlin",
                },
                "contact": {"from": "smtp_addr", "mask": "hash"},
            },
            "relations": {
                "lines": {"entity": "order_line", "by": "order_no"},
                "customer": {"entity": "customer", "from": "customer_id"},
            },
        },
        "order_line": {
            "from": "vbap",
            "key": ["order_no", "line_no"],
            "fields": {"order_no": {"from": "vbeln", "zeros": 10}, "line_no": "posnr"},
        },
        "customer": {"from": "kna1"},
    },
    "commands": {
        "block_order": {
            "entity": "sales_order",
            "args": {"reason": {"type": "string", "max_length": 60}},
            "run": "update vbak set lifsk = '01', ztext = :reason where vbeln = :key",
            "tier": "outside_the_loop",
            "guards": ["status", "total"],
        }
    },
}


def write(folder: Path, bridge: Any = None, system: Any = None) -> Path:
    """Write the two files and an agent; returns the bridge file's path."""
    (folder / "systems").mkdir(exist_ok=True)
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "watch.py").write_text("", encoding="utf-8")
    for path, text in (
        ("bridge.yaml", _bridge_text() if bridge is None else _yaml_text(bridge)),
        ("systems/erp.yaml", _system_text() if system is None else _yaml_text(system)),
    ):
        (folder / path).write_text(text, encoding="utf-8")
    return folder / "bridge.yaml"


def _yaml_text(data: Any) -> str:
    file = io.StringIO()
    YAML().dump(data, file)
    return file.getvalue()


@cache
def _bridge_text() -> str:
    return _yaml_text(BRIDGE)


@cache
def _system_text() -> str:
    return _yaml_text(SYSTEM)
