"""The small web server beside each worker: metrics for Prometheus, health for an orchestrator."""

import logging

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fraudstream.errors import InvalidSettings
from fraudstream.health import Health

log = logging.getLogger(__name__)


class Observability:
    """Serves ``/metrics``, ``/healthz/live`` and ``/healthz/ready`` until it is stopped.

    Health answers 200 or 503 with every condition by name, so that a probe's log tells what is missing.

    Parameters
    ----------
    port
        0 takes any free port; after :meth:`start`, :attr:`port` is the one taken.
    """

    def __init__(self, registry: CollectorRegistry, health: Health, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._registry = registry
        self._health = health
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        InvalidSettings
            When the address cannot be taken.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz/live", self._live)
        app.router.add_get("/healthz/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        try:
            await site.start()
        except OSError as exc:
            await self.stop()
            msg = f"FRAUDSTREAM_METRICS_PORT: cannot listen on {self.host}:{self.port}: {exc.strerror or exc}"
            raise InvalidSettings(msg) from exc
        self.port = self._runner.addresses[0][1]
        log.info("serving metrics and health", extra={"host": self.host, "port": self.port})

    async def stop(self) -> None:
        """Stop listening. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> "Observability":
        """Start, and stop when the block is left."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _: web.Request) -> web.Response:
        report = self._health.report()
        return web.json_response(report, status=200 if report["live"] else 503)

    async def _ready(self, _: web.Request) -> web.Response:
        report = self._health.report()
        return web.json_response(report, status=200 if report["ready"] else 503)
