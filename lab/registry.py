"""The lab's Docker Hub: Debian's docker-registry on loopback, which the lab's engine asks before Docker Hub itself."""

from __future__ import annotations

PORT = 8791
ADDRESS = f"127.0.0.1:{PORT}"
URL = f"http://{ADDRESS}"
