"""The gRPC listener: the store of records, health and reflection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from ..errors import BusyError, UsageError
from . import wire
from .probes import ProbeBound
from .service import StoreService

if TYPE_CHECKING:
    from ..limits import Limits
    from .backend import Gate, Records
    from .settings import GrpcSettings

_SERVING = health_pb2.HealthCheckResponse.SERVING
_STRUCT_FACTOR = 2
"""A record as a Struct may be longer than its canonical JSON: every number takes nine bytes there."""


class GrpcDoor:
    """Listens, and answers, until it is closed."""

    def __init__(self, settings: GrpcSettings, records: Records, gate: Gate, *, limits: Limits) -> None:
        self._settings = settings
        self._service = StoreService(records, gate, limits)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _STRUCT_FACTOR * limits.record_bytes_max),
                ("grpc.max_send_message_length", _STRUCT_FACTOR * limits.record_bytes_max),
                ("grpc.max_concurrent_streams", limits.grpc_streams_max),
                ("grpc.max_metadata_size", 16 * 1024),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
            maximum_concurrent_rpcs=limits.grpc_calls_max,
            interceptors=[ProbeBound(limits)],
        )
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"grpc://{self._settings._replace(port=self.port).authority}"

    @property
    def calls(self) -> int:
        """Calls of the store under way."""
        return self._service.calls

    async def open(self) -> None:
        """Listen; BusyError if the address is taken, UsageError if it is not ours."""
        self._server.add_generic_rpc_handlers((self._service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for each in (health_pb2, reflection_pb2):
            wire.POOL.AddSerializedFile(each.DESCRIPTOR.serialized_pb)
        names = (wire.STORE_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=wire.POOL)
        _check_free(self._settings)
        try:
            self.port = self._server.add_insecure_port(self._settings.authority)
        except RuntimeError as error:
            raise BusyError(f"grpc: cannot listen on {self._settings.authority}: {error}") from error
        await self._server.start()
        await self._health.set("", _SERVING)
        await self._health.set(wire.STORE_SERVICE, _SERVING)

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new, say so to who asks for health, let calls end for ``timeout_s`` at most."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(timeout_s)

    async def close(self) -> None:
        """Cut what is left."""
        await self._server.stop(None)


def _check_free(settings: GrpcSettings) -> None:
    """gRPC says only that it could not; the system says why."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise UsageError(f"grpc: {settings.host}: {error.strerror}", field="grpc") from error
    except OSError as error:
        raise BusyError(f"grpc: cannot listen on {settings.authority}: {error.strerror}") from error
