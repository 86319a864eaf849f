"""The least that a Python process can do with a call: JSON in, the function, JSON out; one write for all of one read."""

import json
import os
import struct

HEAD = struct.Struct(">I")


def noop(text: str) -> str:
    return text


def main() -> None:
    buffer = b""
    while chunk := os.read(0, 1 << 18):
        buffer += chunk
        at, answers = 0, []
        while len(buffer) - at >= HEAD.size:
            (size,) = HEAD.unpack_from(buffer, at)
            if len(buffer) - at < HEAD.size + size:
                break
            call = json.loads(buffer[at + HEAD.size : at + HEAD.size + size])
            answer = json.dumps(noop(**call)).encode()
            answers += (HEAD.pack(len(answer)), answer)
            at += HEAD.size + size
        buffer = buffer[at:]
        data = b"".join(answers)
        while data:
            data = data[os.write(0, data) :]


main()
