"""The stubs of kv.proto and admin.proto, and what a failed call says about itself."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cluster"))  # which has the rest of what speaks gRPC

from history import NOT_APPLIED, UNKNOWN
from local_cluster import Messages, channel, error_info, generate_stubs

_stubs = generate_stubs("kv", "admin")
kv, kv_grpc = _stubs["kv"]
admin, admin_grpc = _stubs["admin"]
_statuses = Messages("google/rpc/status.proto", "google/rpc/error_details.proto")


def outcome_of(error):
    """How a failed write ended: what the server says, else UNKNOWN, since the client cannot know."""
    info = error_info(error, _statuses)
    outcome = info.metadata["outcome"] if info else ""
    return outcome if outcome in (NOT_APPLIED, UNKNOWN) else UNKNOWN


def is_of_the_connection(error):
    """Whether the client's own library made it up: no server has answered."""
    return error_info(error, _statuses) is None


def describe(error):
    """CODE and reason: for counting alike failures together."""
    info = error_info(error, _statuses)
    return f"{error.code().name} {info.reason}" if info else f"{error.code().name} {error.details()[:80]}"
