# SPDX-License-Identifier: Apache-2.0
"""usage: relay.py SOCKET: stdin to a unix socket, what comes back to stdout; for exec: with a return path."""
import os
import socket
import sys
import threading

sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
sock.connect(sys.argv[1])


def back():
    while data := sock.recv(65536):
        os.write(1, data)
    os.close(1)


thread = threading.Thread(target=back)
thread.start()
while data := os.read(0, 1 << 20):
    sock.sendall(data)
sock.shutdown(socket.SHUT_WR)
thread.join()
