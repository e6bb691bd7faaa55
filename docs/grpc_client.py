"""Asks a worker for the op statistics of one trace. Needs only `pip install grpcio`.

    python grpc_client.py 127.0.0.1:50051 /logs/plugins/profile/run/host0.xplane.pb [TOOL]
"""
import sys
import grpc

METHOD = "/xprof.pywrap.XprofAnalysisWorkerService/GetProfileData"


def pack(number, data):  # one protobuf field that has a length: key, length, bytes
    length, n = b"", len(data)
    while n > 127:
        length, n = length + bytes([n & 127 | 128]), n >> 7
    return bytes([number << 3 | 2]) + length + bytes([n]) + data


def unpack(message):  # number -> bytes, for messages of such fields
    fields, pos = {}, 0
    while pos < len(message):
        number, n, shift, pos = message[pos] >> 3, 0, 0, pos + 1
        while message[pos] > 127:
            n, shift, pos = n | (message[pos] & 127) << shift, shift + 7, pos + 1
        n, pos = n | message[pos] << shift, pos + 1
        fields[number], pos = message[pos : pos + n], pos + n
    return fields


address, trace, tool = (sys.argv[1:] + ["overview_page"])[:3]
# WorkerProfileDataRequest { origin_request: ProfileDataRequest { session_id, tool_name } }
request = pack(1, pack(1, trace.encode()) + pack(2, tool.encode()))
try:
    answer = unpack(grpc.insecure_channel(address).unary_unary(METHOD)(request, timeout=600))
    # WorkerProfileDataResponse { output, worker_id }
    print(answer[1].decode(), "from worker", answer[2].decode())
except grpc.RpcError as error:
    sys.exit(f"{error.code().name}: {error.details()}")
