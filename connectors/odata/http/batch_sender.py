"""`$batch`: tries in which form the service accepts it, and remembers that."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from bridge.model.errors import BridgeError, Unsupported
from connectors.odata.http.errors import broken_response
from connectors.odata.http.transport import ODataTransport
from connectors.odata.metadata.model import Version
from connectors.odata.protocol import batch as batches
from connectors.odata.protocol import multipart
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse

VERSION_HEADERS: Mapping[Version, Mapping[str, str]] = {
    "v4": {"OData-Version": "4.0", "OData-MaxVersion": "4.01"},
    "v2": {"DataServiceVersion": "2.0", "MaxDataServiceVersion": "2.0"},
}


class BatchSender:
    """Sends batches to one service. Any number of tasks may use it at once."""

    def __init__(self, transport: ODataTransport, where: str) -> None:
        self._transport = transport
        self._where = where
        self._form: batches.Format | None = None

    async def send(
        self, requests: Sequence[ODataRequest], version: Version, *, changeset: bool
    ) -> list[ODataResponse]:
        """Aligned responses, whatever their status. Raises Unsupported if the service accepts no
        `$batch`; it had no effect then.
        """
        forms: tuple[batches.Format, ...] = ("json", "multipart")
        if self._form is not None:
            forms = (self._form,)
        elif version == "v2":
            forms = ("multipart",)
        refused = ""
        for form in forms:
            batch = _batch_request(requests, form, version, changeset=changeset)
            response = await self._transport.ask(batch)
            if self._form is None and response.status in batches.FORM_REFUSED_STATUSES:
                try:
                    self._transport.check(batch, response)
                except BridgeError as error:
                    refused = str(error)
                continue
            self._transport.check(batch, response)
            try:
                responses = _responses(form, response, len(requests), changeset=changeset)
            except ValueError:
                raise broken_response(
                    self._transport.describe(batch), writes=batch.writes
                ) from None
            self._form = form
            return responses
        raise Unsupported(f"{self._where}: the service accepts no $batch: {refused}")


def _batch_request(
    requests: Sequence[ODataRequest], form: batches.Format, version: Version, *, changeset: bool
) -> ODataRequest:
    writes = any(request.writes for request in requests)
    begin = next((request.begin for request in requests if request.begin is not None), None)
    headers = dict(VERSION_HEADERS[version])
    if version == "v4" and not changeset:
        headers["Prefer"] = "odata.continue-on-error"
    if form == "json":
        headers |= {"Accept": "application/json", "Content-Type": "application/json"}
        body = batches.json_body(requests, changeset=changeset)
        return ODataRequest("POST", "$batch", body, headers, writes, begin)
    boundary = f"batch-{uuid.uuid4()}"
    headers["Accept"] = "multipart/mixed"
    headers["Content-Type"] = f"multipart/mixed; boundary={boundary}"
    content = multipart.encode(requests, boundary, changeset=changeset, lone=version == "v4")
    return ODataRequest("POST", "$batch", content, headers, writes, begin)


def _responses(
    form: batches.Format, response: ODataResponse, count: int, *, changeset: bool
) -> list[ODataResponse]:
    if form == "json":
        return batches.json_responses(response.body, count, changeset=changeset)
    content_type = response.headers.get("content-type", "")
    content = response.body if isinstance(response.body, bytes) else b""
    return batches.multipart_responses(content_type, content, count, changeset=changeset)
