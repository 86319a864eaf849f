"""A runner that does what none should, in the way that its argument or the function's name says."""

import json
import os
import signal
import socket
import struct
import sys

HOW = sys.argv[1] if len(sys.argv) > 1 else "well"
LENGTHS = struct.Struct(">II")
WORKER = socket.socket(fileno=os.dup(0))
MAX_HEADER, MAX_BODY = 16 << 20, 64 << 20


def send(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    WORKER.sendall(LENGTHS.pack(len(text), len(body)) + text + body)


def exactly(size):
    data = bytearray()
    while len(data) < size:
        more = WORKER.recv(size - len(data))
        if not more:
            sys.exit(0)
        data += more
    return bytes(data)


def receive():
    head, body = LENGTHS.unpack(exactly(8))
    return json.loads(exactly(head)), exactly(body)


def hang():
    while True:
        signal.pause()


ENDS = ["passes", "crashes", "exits", "garbage", "no_json", "long_header", "long_body", "unknown",
        "out_of_turn", "bad_output", "deep_output", "claims_lost", "odd_kind", "closes", "twice", "other_id", "deaf",
        "floods", "ignores_stop", "odd_ask", "half_a_frame", "isolation", "where"]  # fmt: skip
START = {
    "old": lambda: send({"type": "hello", "protocol": 1, "functions": []}),
    "forks": lambda: send({"type": "hello", "protocol": 2, "forks": True, "functions": []}),
    "text": lambda: os.write(WORKER.fileno(), b"Starting the runner, please wait\n" * 3),
    "list": lambda: send([]),
    "early": lambda: send({"type": "end", "id": 1, "kind": "passed"}),
    "fatal": lambda: send({"type": "fatal", "error": "no licence: put it into /etc/licence"}),
    "dies": lambda: sys.exit("no library"),
    "silent": hang,
}
if HOW in START:
    START[HOW]()
    hang()

functions = [{"name": f"odd.{name}"} for name in ENDS]
functions += [{"name": "odd.no name", "timeout": -1}, {"name": "odd.eager", "isolation": "shared", "timeout": -1}]
send({"type": "hello", "protocol": 2, "functions": functions, "shared": HOW == "shared", "unknown": 1})
if os.environ["RFX_ISOLATION"] == "shared" or HOW == "stop":
    signal.signal(signal.SIGUSR1, lambda *_: None)

while True:
    header, body = receive()
    if header["type"] != "call":
        continue
    call, name = header["id"], header["function"].removeprefix("odd.")
    end = {"type": "end", "id": call, "kind": "passed"}
    print("this is", name, flush=True)
    match name:
        case "passes":
            send(end, body)
        case "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exits":
            sys.exit(7)
        case "garbage":
            WORKER.sendall(b"\xff" * 64)
        case "no_json":
            send(b"{not json")
        case "long_header":
            WORKER.sendall(LENGTHS.pack(MAX_HEADER + 1, 0))
        case "long_body":
            WORKER.sendall(LENGTHS.pack(2, MAX_BODY + 1) + b"{}")
        case "unknown":
            send({"type": "praise", "id": call})
        case "out_of_turn":
            send({"type": "forked", "runner": 1, "pid": 1})
            send({"type": "exited", "runner": 1, "code": 0})
            send({"type": "returned", "ids": [call + 7]})
            send({"type": "hello", "protocol": 2, "functions": []})
            send(end, b"1")
        case "bad_output":
            send(end, b"\xff not json")
        case "deep_output":
            send(end, b"[" * 5000 + b"]" * 5000)
        case "claims_lost":
            send({**end, "kind": "lost"})
        case "odd_kind":
            send({**end, "kind": "great"})
        case "closes":
            os.close(0)
            WORKER.close()
            hang()
        case "twice":
            send(end, b"1")
            send({**end, "kind": "failed"}, b"2")
        case "other_id":
            send({**end, "id": call + 1000}, b"2")
            send(end, b"1")
        case "deaf":
            # A reply that it does not take, of more than any buffer holds.
            for ask in range(2):
                artifact = {"type": "ask", "id": call, "ask": ask, "what": "state.put", "key": "big", "scope": "run"}
                send(artifact, json.dumps("x" * 200_000).encode())
            for ask in range(100):
                send({"type": "ask", "id": call, "ask": ask, "what": "state.get", "key": "big", "scope": "run"})
            hang()
        case "floods":
            for number in range(3_000):
                send({"type": "progress", "id": call, "message": str(number)})
            send(end, b"1")
        case "ignores_stop":
            signal.signal(signal.SIGUSR1, lambda *_: None)
            hang()
        case "odd_ask":
            send({"type": "ask", "id": call, "ask": 1, "what": "the.time"})
            reply, _ = receive()
            send(end, json.dumps(reply["error"]["type"]).encode())
        case "half_a_frame":
            WORKER.sendall(LENGTHS.pack(100, 0) + b"{")
            hang()
        case "isolation" | "eager":
            send(end, json.dumps([os.environ["RFX_ISOLATION"], header["isolation"]]).encode())
        case "where":
            own = sorted(name for name in os.environ if name.startswith("RFX_"))
            send(end, json.dumps([os.getcwd(), os.environ["RFX_POOL"], own]).encode())
