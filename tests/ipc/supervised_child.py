"""A child process for the tests of supervision: ``python -m supervised_child FD BEHAVIOUR``."""

import os
import signal
import socket
import sys
import time

from streamsr.ipc.framing import encode, take
from streamsr.ipc.messages import FinishOutput, Heartbeat


def main() -> None:
    """Beats until it is told to finish, but for what its behaviour says."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    behaviour = sys.argv[2]
    if behaviour == "mute":
        time.sleep(60)
    connection.sendall(encode(Heartbeat()))
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    buffer = bytearray()
    connection.settimeout(0.05)
    while True:
        try:
            data = connection.recv(4096)
        except TimeoutError:
            connection.sendall(encode(Heartbeat()))
            continue
        buffer += data
        if not data or (take(buffer) == FinishOutput() and behaviour != "stubborn"):
            return


if __name__ == "__main__":
    main()
