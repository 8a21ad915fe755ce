"""Compile proto/ into the descriptors that ``holdfast.grpc`` loads: ``python -m tools.protos [--check]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "src" / "holdfast" / "grpc" / "store.binpb"


def compiled() -> bytes:
    """A serialised FileDescriptorSet of all our files and what they import, without comments."""
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "set.binpb")
        well_known = Path(protoc.__file__).parent / "_proto"
        arguments = [f"--proto_path={PROTO}", f"--proto_path={well_known}", "--include_imports"]
        if protoc.main(["protoc", *arguments, f"--descriptor_set_out={target}", *files]) != 0:
            raise SystemExit(1)
        return target.read_bytes()


def main() -> int:
    """Write the file, or with ``--check`` say whether it is as it should be."""
    if "--check" not in sys.argv:
        TARGET.write_bytes(compiled())
        return 0
    if TARGET.read_bytes() == compiled():
        return 0
    print(f"{TARGET.relative_to(ROOT)} is not what proto/ compiles to: run python -m tools.protos", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
