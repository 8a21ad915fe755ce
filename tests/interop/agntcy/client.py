"""The AGNTCY Directory's own client, in a process of its own: ``client.py HOST:PORT TOKEN COUNT VECTORS``.

Says what it found as one JSON object.  Its stubs register file names of ours in protobuf's default pool.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
from agntcy.dir_sdk.client import Client, Config
from agntcy.dir_sdk.models import core_v1
from google.protobuf.json_format import MessageToDict


def record_of(content: dict[str, Any]) -> Any:
    record = core_v1.Record()
    record.data.SetInParent()  # an empty object is an object
    record.data.update(content)
    return record


def status_of(call: Any) -> str:
    """How a call that has to fail fails."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def main() -> None:
    address, token, count, vectors = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    client = Client(Config(server_address=address))
    metadata = [("authorization", f"Bearer {token}")] if token else None
    contents = [
        {
            "name": f"directory.example/agent-{number}",
            "version": f"v{number}.0.0",
            "schema_version": "0.7.0",
            "created_at": "2026-11-21T00:00:00Z",
            "annotations": {"team": "a<b>&c", "n": str(number)},
            "skills": [{"id": number, "weight": number / 3, "empty": {}, "none": None}],
        }
        for number in range(count)
    ]
    records = [record_of(content) for content in contents]
    refs = client.push(records, metadata)
    again = client.push(records[:3], metadata)
    pulled = client.pull(refs, metadata)
    metas = client.lookup(refs, metadata)
    unknown = core_v1.RecordRef(cid=refs[0].cid[:-8] + "aaaaaaaa")
    big = record_of({"name": "big", "data": "x" * (5 << 20)})
    failures = {
        "pull_unknown": status_of(lambda: client.pull([refs[0], unknown], metadata)),
        "lookup_unknown": status_of(lambda: client.lookup([unknown], metadata)),
        "pull_no_cid": status_of(lambda: client.pull([core_v1.RecordRef(cid="no cid")], metadata)),
        "push_big": status_of(lambda: client.push([big], metadata)),
        "push_empty": status_of(lambda: client.push([core_v1.Record()], metadata)),
        "without_token": status_of(lambda: client.push(records[:1], None)),
    }
    client.delete([*refs[: count // 2], unknown], metadata)
    sys.stdout.write(
        json.dumps(
            {
                "cids": [ref.cid for ref in refs],
                "again": [ref.cid for ref in again],
                "pulled_equal": [found == pushed for found, pushed in zip(pulled, records, strict=True)],
                "meta": MessageToDict(metas[1], preserving_proto_field_name=True),
                "vectors": [ref.cid for ref in client.push([record_of(vector) for vector in vectors], metadata)],
                "failures": failures,
                "gone": status_of(lambda: client.pull(refs[:1], metadata)),
                "kept": len(client.pull(refs[count // 2 :], metadata)),
            }
        )
    )


if __name__ == "__main__":
    main()
