"""Functions that break their process, or try to."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import rfx

FOREVER = 600


@rfx.function
def exits_at_once() -> None:
    """End the process under rfx."""
    os._exit(7)


@rfx.function
def exits_with_zero() -> None:
    """End the process as if all were well."""
    os._exit(0)


@rfx.function
def segfaults() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


@rfx.function
def aborts() -> None:
    """Abort."""
    os.abort()


@rfx.function
def kills_itself() -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


@rfx.function
def terminates_itself() -> str:
    """Send the process what asks it to end: that is left to the worker."""
    os.kill(os.getpid(), signal.SIGTERM)
    return "still here"


@rfx.function
def sleeps() -> None:
    """Sleep beyond every timeout."""
    time.sleep(FOREVER)


@rfx.function
async def sleeps_async() -> None:
    """Sleep in the event loop."""
    await asyncio.sleep(FOREVER)


@rfx.function
def computes() -> None:
    """Compute without an end."""
    while True:
        pass


@rfx.function
def swallows_timeouts() -> None:
    """Catch whatever comes and go on."""
    end = time.monotonic() + FOREVER
    while time.monotonic() < end:
        try:
            time.sleep(FOREVER)
        except BaseException:
            continue


@rfx.function
def hangs_in_c() -> None:
    """Wait in C for ever, with the interpreter's lock: no signal and no other thread gets a turn."""
    _block()


def _block() -> None:
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)


@rfx.function
def cleans_up_late() -> None:
    """Take a while to clean up, but less than it may."""
    try:
        time.sleep(FOREVER)
    finally:
        time.sleep(0.2)
        print("cleaned up")


@rfx.function
def floods() -> str:
    """Print far more than is kept."""
    print("the first line")
    block = "y" * 1000
    for _ in range(20_000):
        print(block)
    print("the last line")
    return "done"


@rfx.function
def floods_from_child() -> str:
    """Have a child process print."""
    subprocess.run([sys.executable, "-c", "print('from the child')"], check=True)
    return "done"


@rfx.function
def reads_stdin() -> str:
    """Read what nobody types."""
    return sys.stdin.read()


@rfx.function
def closes_descriptors() -> str:
    """Close every descriptor that is not its own."""
    os.closerange(3, 256)
    return "closed"


@rfx.function
def leaves_child() -> str:
    """Leave a child process behind."""
    subprocess.Popen(["sleep", str(FOREVER)])
    return "left"


@rfx.function
def leaves_daemon() -> str:
    """Leave a process in a session of its own, whose parent has ended."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(FOREVER)
        os._exit(0)
    os.wait()
    return "left"


@rfx.function
def leaves_family_and_dies() -> None:
    """Leave children in their own sessions and end the process."""
    for _ in range(3):
        subprocess.Popen(["sleep", str(FOREVER)], start_new_session=True)
    os._exit(0)


@rfx.function
def forks_bomb() -> None:
    """Fork again and again, in sessions of their own."""
    for _ in range(40):
        if os.fork() == 0:
            os.setsid()
            for _ in range(3):
                os.fork()
            time.sleep(FOREVER)
            os._exit(0)
    time.sleep(FOREVER)


@rfx.function
def forks_and_returns() -> str:
    """Return in two processes."""
    pid = os.fork()
    if pid == 0:
        return "from the child"
    os.waitpid(pid, 0)
    return "from the parent"


@rfx.function
def eats_memory() -> None:
    """Use more memory than is allowed."""
    held = []
    while True:
        held.append(bytearray(20 << 20))
        time.sleep(0.01)


@rfx.function
def opens_sockets() -> str:
    """Leave sockets open."""
    opened = [socket.socket() for _ in range(50)]
    return str(len(opened))


@rfx.function
def stops_itself() -> None:
    """Stop the process, as Ctrl-Z does."""
    os.kill(os.getpid(), signal.SIGSTOP)


@rfx.function
def dies_in_thread() -> None:
    """Crash from a thread."""
    threading.Thread(target=ctypes.string_at, args=(0,)).start()
    time.sleep(FOREVER)
