"""Name the port of each server. curl asks nova-api, which asks nginx, which asks the upstream; the other clients also
ask the upstream."""

from __future__ import annotations

HOST = "127.0.0.1"
UPSTREAM = 8001
NGINX = 8080
NOVA_API = 8774
