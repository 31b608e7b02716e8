"""The command palette offers what the keys of the present screen do: a command is defined once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider


class KeyCommands(Provider):
    """Every binding that is active where the palette was opened."""

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for active in self._active():
            yield DiscoveryHit(
                active.binding.description, self._command(active), help=active.tooltip or None
            )

    async def search(self, query: str) -> Hits:
        """Those that fit what is typed."""
        matcher = self.matcher(query)
        for active in self._active():
            score = matcher.match(active.binding.description)
            if score > 0:
                shown = matcher.highlight(active.binding.description)
                yield Hit(score, shown, self._command(active), help=active.tooltip or None)

    def _active(self) -> Iterator[ActiveBinding]:
        return described_bindings(self.screen.active_bindings.values())

    def _command(self, active: ActiveBinding) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await self.app.run_action(active.binding.action, active.node)

        return run


def described_bindings(bindings: Iterable[ActiveBinding]) -> Iterator[ActiveBinding]:
    """Enabled bindings with a tooltip, each action once."""
    seen: set[str] = set()
    for active in bindings:
        binding = active.binding
        if active.enabled and active.tooltip and binding.action not in seen:
            seen.add(binding.action)
            yield active
