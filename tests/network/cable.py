"""A bad cable between two network namespaces: packets are delayed, reordered, doubled and lost.

`python cable.py PID NAME PID NAME SEED` makes an interface NAME in the network of each PID and
carries packets between them until it is ended. It needs no kernel with a traffic shaper.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time
from fcntl import ioctl

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001

LOST = 0.02
DOUBLED = 0.05
LONGEST_DELAY_S = 0.02


def interface(pid: int, name: str) -> int:
    """A new interface in the network of `pid`; its packets come and go over the descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net", "rb") as network:
        if libc.setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the network")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_WITHOUT_HEADER))
    return descriptor


def carry(ends: tuple[int, int], seed: int) -> None:
    """Take packets from one end to the other, badly."""
    chance = random.Random(seed)
    numbers = itertools.count()
    under_way: list[tuple[float, int, int, bytes]] = []
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], wait_s)[0]:
            packet = os.read(end, 65536)
            other = ends[1] if end == ends[0] else ends[0]
            copies = 0 if chance.random() < LOST else 1 + (chance.random() < DOUBLED)
            for _ in range(copies):
                due = time.monotonic() + chance.uniform(0, LONGEST_DELAY_S)
                heapq.heappush(under_way, (due, next(numbers), other, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(under_way)
            try:
                os.write(end, packet)
            except OSError:
                continue  # that end is not up: the packet is lost


if __name__ == "__main__":
    first, second = (interface(int(sys.argv[at]), sys.argv[at + 1]) for at in (1, 3))
    print("ready", flush=True)
    carry((first, second), int(sys.argv[5]))
