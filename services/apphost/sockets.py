"""Where the control socket is, and how one asks through it."""

import hashlib
import http.client
import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Any, Final

from services.apphost.errors import ApphostError

LONGEST_PATH: Final = 107  # bytes of a Unix socket's path (unix(7))
NAME: Final = "control.sock"
ANSWER_S: Final = 15.0


def control_file(state: Path) -> Path:
    """In the state folder, or, where that lies too deep, in one of our own below the folder for temporary files."""
    file = state.absolute() / NAME
    if len(os.fsencode(file)) <= LONGEST_PATH:
        return file
    name = hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"ticketflow-{os.geteuid()}-{name}" / NAME


def make_private(folder: Path) -> None:
    """Make the folder, if need be. Raises ApphostError where it is somebody else's, or open to others."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ApphostError(f"The folder {folder} is not ours alone.", "Remove it, then try again.")


def ask(file: Path, method: str, path: str) -> Any:
    """What the app host answers at its control socket; it blocks. Raises ApphostError with the reason of a refusal."""
    connection = _UnixConnection(file)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ApphostError(f"The control socket {file} does not answer: {error}.", "Does the system run?") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ApphostError(document["detail"], f"The app host was asked for {method} {path}.")
    return document


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, file: Path) -> None:
        super().__init__("apphost", timeout=ANSWER_S)
        self._file = file

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._file))
