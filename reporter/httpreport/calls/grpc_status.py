"""Name the statuses of gRPC calls (https://grpc.io/docs/guides/status-codes/)."""

from __future__ import annotations

NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


def grpc_text(status: int | None) -> str:
    """Return number and name of a status, as in `14 UNAVAILABLE`; empty if it is not known."""
    if status is None:
        return ""
    return f"{status} {NAMES[status]}" if status < len(NAMES) else str(status)
