"""What only the Linux kernel offers: a runner that ends with its parent, and that keeps what its children leave behind.

Elsewhere these do nothing: there a runner ends when its socket is closed, and only its process group is swept.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

LINUX: Final = sys.platform == "linux"


class Process(NamedTuple):
    """What /proc says of a process."""

    pid: int
    parent: int
    group: int
    zombie: bool


def prepare() -> None:
    """Load what the calls below need; forked processes inherit it."""
    if LINUX:
        import ctypes

        global _libc
        _libc = ctypes.CDLL(None)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Be killed when the parent ends, even if it is killed itself."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def has_children() -> bool:
    """Whether there is any child process, running or ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def processes() -> Iterator[Process]:
    """Every process of the system, as far as it can be read."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name of the program stands in parentheses and may hold any character.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            yield Process(int(name), int(fields[1]), int(fields[2]), fields[0] == b"Z")


def children() -> list[Process]:
    """The child processes of this one, running or ended, where the system tells them."""
    own = os.getpid()
    return [process for process in processes() if process.parent == own]


def thread_count() -> int:
    """Count the threads of this process, those of C libraries too; 1 where that cannot be told."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def open_sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return []
    found = []
    for name in names:
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:  # the descriptor that listed the folder
            continue
    return found


_libc = None


def _prctl(option: int, value: int) -> None:
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)
