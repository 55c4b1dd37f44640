"""Memory that threads free goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# As many threads as the daemon has, each with a block of its own alive: without settings each gets a heap.
_SCRIPT = """
import ctypes, sys, threading
from controller.allocator import give_memory_back

libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit(77)
if sys.argv[1] == "yes":
    give_memory_back()
barrier = threading.Barrier(21)

def work():
    block = bytes(2000)
    barrier.wait()
    barrier.wait()
    del block

threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
barrier.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
barrier.wait()
"""


def test_many_threads_share_two_heaps() -> None:
    assert _heaps("no") > 2
    assert _heaps("yes") <= 2


def _heaps(told: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", _SCRIPT, told]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 77:
        pytest.skip("this C library has no heaps for threads")
    assert done.returncode == 0, done.stderr
    return done.stdout.count("<heap nr=")
