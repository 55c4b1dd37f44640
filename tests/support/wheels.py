"""Small pure wheels (binary distribution format 1.0), made in a folder that uv is given instead of an index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any", files: Mapping[str, str] = {}) -> Path:
    """A module that knows its version, and a command `<name>` that prints it; `files` beside the module."""
    info = f"{name}-{version}.dist-info"
    module = f"VERSION = '{version}'\n\n\ndef main():\n    print('{name}', VERSION)\n"
    written = {
        f"{name}.py": module,
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    lines = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in written.items()]
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in written.items():
            archive.writestr(inside, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
    return path


def only_from(folder: Path) -> dict[str, str]:
    """The environment in which uv has the wheels of a folder and no index."""
    return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder)}


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
