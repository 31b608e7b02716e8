"""Publish and subscribe channels with bounded buffers, as the Firehose server has them.

Each message of a channel has a sequence number, from 1. A reader says which was the last it knows:
0 waits for the next message, any other number gets the oldest kept message after it. A reader that
is further behind than the buffer is long misses the messages in between. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

from chaperon_engine.target.limits import (
    MAX_CHANNEL_BUFFER,
    MAX_CHANNEL_BYTES,
    MAX_CHANNELS,
)


@dataclass(frozen=True, slots=True)
class Message:
    """One published message."""

    sequence: int
    payload: str


class Channel:
    """One channel: the newest messages and the readers that wait for the next."""

    def __init__(self) -> None:
        self.last_sequence = 0
        self.subscribers = 0
        self._messages: deque[Message] = deque()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nobody reads from it."""
        return not self.subscribers and not self._waiting

    def append(self, payload: str) -> None:
        """Add a message and wake all who wait."""
        self.last_sequence += 1
        self._messages.append(Message(self.last_sequence, payload))
        self.wake()

    def drop_oldest(self) -> int:
        """Forget the oldest message; returns its size, 0 when there is none."""
        return len(self._messages.popleft().payload) if self._messages else 0

    def __len__(self) -> int:
        return len(self._messages)

    def after(self, sequence: int) -> Message | None:
        """The oldest kept message after `sequence`, if any."""
        if self.last_sequence <= sequence or not self._messages:
            return None
        first = self._messages[0].sequence
        return self._messages[max(0, sequence + 1 - first)]

    async def next(self, sequence: int) -> Message:
        """Wait for a message after `sequence`.

        0 means after the newest of now, and so does a number that the channel has not reached:
        its reader knows a former life of this server.
        """
        if not 0 < sequence < self.last_sequence:
            sequence = self.last_sequence
        while (message := self.after(sequence)) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        return message

    def wake(self) -> None:
        """Let all who wait look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class Channels:
    """All channels by name, with bounds on their number and on the bytes they keep."""

    def __init__(self) -> None:
        self._channels: OrderedDict[str, Channel] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def kept_bytes(self) -> int:
        """Characters of all kept messages."""
        return self._bytes

    def get(self, name: str) -> Channel | None:
        """The channel of that name, made on first use; None when there is no room for one more."""
        channel = self._channels.get(name)
        if channel is None:
            if len(self._channels) >= MAX_CHANNELS and not self._evict():
                return None
            channel = self._channels[name] = Channel()
        else:
            self._channels.move_to_end(name)
        return channel

    def publish(self, name: str, payload: str) -> Message | None:
        """Add a message to a channel; None when there is no room for one more channel."""
        channel = self.get(name)
        if channel is None:
            return None
        channel.append(payload)
        self._bytes += len(payload)
        if len(channel) > MAX_CHANNEL_BUFFER:
            self._bytes -= channel.drop_oldest()
        for oldest in self._channels.values():
            while self._bytes > MAX_CHANNEL_BYTES and len(oldest):
                self._bytes -= oldest.drop_oldest()
            if self._bytes <= MAX_CHANNEL_BYTES:
                break
        return Message(channel.last_sequence, payload)

    def _evict(self) -> bool:
        """Drop the longest unused channel that nobody reads; False when all are read."""
        for name, channel in self._channels.items():
            if channel.idle:
                while len(channel):
                    self._bytes -= channel.drop_oldest()
                del self._channels[name]
                return True
        return False
