"""
One hash for a whole folder: do these minions hold the same files?

Salt hashes single files (``hashutil.digest_file``).  Before and after a promotion one rather asks
for ``/etc/nginx`` as a whole, on many minions at once.
"""

import hashlib
import os
from pathlib import Path

from salt.exceptions import CommandExecutionError


def digest(path):
    """
    Return one SHA-256 over the names, links and contents below a folder.

    Owners, modes and times are left out.  What cannot be read is an error, never left out.

    path
        The folder.

    CLI Example:

    .. code-block:: bash

        salt '*' treehash.digest /etc/nginx
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CommandExecutionError(f"There is no folder {path}")
    total = hashlib.sha256()
    try:
        for entry in _entries(folder):
            for part in (os.fsencode(entry.relative_to(folder)), _content(entry)):
                # With its length, or a byte moved from a name to the content would not show.
                total.update(b"%d:%b" % (len(part), part))
    except OSError as error:
        raise CommandExecutionError(f"Cannot read {error.filename}: {error.strerror}") from error
    return total.hexdigest()


def _entries(folder):
    """Return all paths below ``folder``, sorted; links are not followed."""
    found = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        found += [Path(parent, name) for name in folders + files]
    return sorted(found)


def _content(entry):
    """Return the bytes that stand for one entry: a link's target, a file's digest, or its kind."""
    if entry.is_symlink():
        return b"link " + os.fsencode(entry.readlink())
    if entry.is_dir():
        return b"folder"
    if not entry.is_file():
        return b"special"
    content = hashlib.sha256()
    with entry.open("rb") as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return b"file " + content.digest()


def _raise(error):
    raise error
