"""`python -I -S …/supervisor/__main__.py RUN_DIR`: exits 0 once a supervisor serves, 3 where one did already."""

import fcntl
import os
import sys

# Isolated and without site, so that nothing but the standard library and this package can be imported; last, so that
# nothing beside this package can take the standard library's place.
sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4)))

from controller.runtime.directory import wire
from controller.runtime.directory.supervisor.server import Supervisor
from controller.runtime.directory.supervisor.spawn import become_subreaper, raise_descriptor_limit

ALREADY_SERVED = 3


def main(run_dir: str) -> int:
    """Take the lock, listen, leave the caller's session and serve."""
    os.umask(0o077)
    lock = os.open(f"{run_dir}/{wire.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ALREADY_SERVED
    listener = wire.listen(run_dir)
    ready, started = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(started)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    os.chdir("/")
    become_subreaper()
    raise_descriptor_limit()
    identity = wire.identity_of(os.getpid())
    if identity is None:
        return 1
    os.ftruncate(lock, 0)
    os.pwrite(lock, identity.encode(), 0)
    os.write(started, b"1")
    os.close(started)
    Supervisor(listener, identity).serve()
    os.unlink(f"{run_dir}/{wire.SOCKET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
