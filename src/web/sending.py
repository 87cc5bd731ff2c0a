"""The limits of one connection while it sends answers, and while the server stops."""

from asyncio import TimerHandle
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.web.server_config import ServerConfig
from src.web.transports import set_reset_on_close

# Seconds that an idle connection stays open when the server stops, for a request that is already on its way.
_IDLE_SECONDS_AT_STOP = 1


class WriteLimitedProtocol(HttpToolsProtocol):
    """One connection that is aborted when its client does not read in time, or when it outlives the server's stop."""

    def __init__(self, config: ServerConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.settings, self._shares = config.settings, config.shares
        self._write_timer: TimerHandle | None = None
        self._stop_timers: list[TimerHandle] = []

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_timer()

    @override
    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._start_write_timer()

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.settings.response_write_timeout, self._on_write_timeout)

    def _cancel_write_timer(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _on_write_timeout(self) -> None:
        self._write_timer = None
        if self.transport.get_write_buffer_size():
            self._abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._shares.add(-1)
        self._cancel_write_timer()
        for timer in self._stop_timers:
            timer.cancel()

    @override
    def shutdown(self) -> None:
        """Prepare for the stop of the server: finish the running request, and one more that is on its way."""
        if self.cycle:
            self.cycle.keep_alive = False
        if stop_waiting := self.app_state.get("stop_waiting"):
            stop_waiting()
        self._stop_timers = [
            self.loop.call_later(_IDLE_SECONDS_AT_STOP, self._close_if_idle),
            self.loop.call_later(self.settings.graceful_shutdown_seconds, self._abort),
        ]

    def _abort(self) -> None:
        """Break off the answer with a reset, so that the client cannot take it for complete."""
        set_reset_on_close(self.transport)
        self.transport.abort()

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
