"""The public key of an ssh host, as a stack file gives it. Standard library only: readiness gates load it, too."""

from __future__ import annotations

import base64
import binascii
import re

HOST_KEY = re.compile(r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})$")
DEFAULT_PARALLEL = 4  # commands at the same time over ssh


class BadHostKey(ValueError):
    """Not the public part of a host key."""


def check_host_key(value: str) -> str:
    """Return ``value`` if it is a public host key, `TYPE BASE64`; BadHostKey says what it should look like."""
    form = "must be the key's type and its base64, such as `ssh-ed25519 AAAAC3…`, without host name and comment"
    found = HOST_KEY.match(value)
    if not found:
        raise BadHostKey(form)
    try:
        blob = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        raise BadHostKey(f"is cut off or mistyped; {form}") from None
    name = found[1].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        raise BadHostKey(f"is not a key of type {found[1]}; {form}")
    return value
