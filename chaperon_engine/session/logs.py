"""The part of a session that writes to the run's log."""

from __future__ import annotations

from chaperon_engine.session.core import SessionCore
from chaperon_engine.session.log import SessionLogger


class Logs(SessionCore):
    """Log lines that carry the session's id."""

    __slots__ = ()

    @property
    def log(self) -> SessionLogger:
        """A standard logger adapter; its lines go to the run's log with this session's id."""
        if self._log is None:
            self._log = SessionLogger(self._context.book.logger, self.id)
        return self._log

    def log_debug(self, message: str, *args: object) -> None:
        """Log for the one who writes the scenario; shown by `chaperon try`."""
        self.log.debug(message, *args)

    def log_info(self, message: str, *args: object) -> None:
        """Log something worth knowing."""
        self.log.info(message, *args)

    def log_warning(self, message: str, *args: object) -> None:
        """Log something odd."""
        self.log.warning(message, *args)

    def log_error(self, message: str, *args: object) -> None:
        """Log something wrong."""
        self.log.error(message, *args)
