"""One file read to its documents: whatever is wrong with it becomes a fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from controller.model.clock import Clock
from controller.model.manifest import Fault
from controller.source.documents import FileContent, ManifestText, Rules, read_documents
from controller.source.files import UnreadableManifest, read_file
from controller.source.listing import Found, Stamp, printable
from controller.strict_yaml.reader import Place

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """What a file declares and the stamp it had, None where reading it again may give something else.

    `whole` is False where the file changed while it was read.
    """

    content: FileContent
    stamp: Stamp | None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files by the rules. `root` is the folder they must really lie in; None: anywhere."""

    rules: Rules
    clock: Clock
    root: Path | None

    def read(self, path: Path, file: str, found: Found | None = None) -> ReadManifest | None:
        """The file's content under the name `file`; None where it is gone by now. Never raises."""
        stamp = found.stamp if found is not None else None
        if found is not None and found.problem:
            return ReadManifest(_refused(file, found.problem, found.hint), stamp)
        try:
            read = read_file(path, self.root)
            text = ManifestText(read.text, file, path.parent, read.saved_at, self.clock.now())
            return ReadManifest(read_documents(text, self.rules), read.stamp, read.whole)
        except UnreadableManifest as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                return None
            return ReadManifest(_refused(file, str(exc), exc.hint, exc.place), None if exc.transient else stamp)
        except Exception:
            log.exception("manifest_check_failed", file=printable(file))
            return ReadManifest(_refused(file, "could not be checked", "the daemon is at fault: see its log"), stamp)


def _refused(file: str, message: str, hint: str, place: Place = (1, 1)) -> FileContent:
    return FileContent(faults=(Fault(printable(file), *place, message, hint=hint),))
