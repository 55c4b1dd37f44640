"""The Linux capabilities that a container may be given back: those that Docker grants by default, no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

# Their bits: capabilities(7), linux/capability.h. The list:
# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
GRANTABLE: Final[Mapping[str, int]] = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}


def mask_of(names: Iterable[str]) -> int:
    """The bits of these capabilities, as /proc shows them."""
    return sum(1 << GRANTABLE[name] for name in set(names))
