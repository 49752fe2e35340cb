"""What keys and signatures of ssh say of themselves; nobody has verified it."""

from __future__ import annotations

import base64
import hashlib


def fingerprint_of(key: str) -> str:
    """`SHA256:...` of a key in base64; empty for what is none."""
    try:
        data = base64.b64decode(key, validate=True)
    except ValueError:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def signing_key(armoured: str) -> str:
    """The fingerprint of the key that a signature names, which nobody has verified; empty where it names none."""
    lines = [line for line in armoured.splitlines() if line and not line.startswith("-----")]
    try:
        data = base64.b64decode("".join(lines), validate=True)
    except ValueError:
        return ""
    size = int.from_bytes(data[10:14], "big")
    if data[:6] != b"SSHSIG" or not size or len(data) < 14 + size:
        return ""
    return fingerprint_of(base64.b64encode(data[14 : 14 + size]).decode())
