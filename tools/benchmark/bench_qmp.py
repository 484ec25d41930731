# SPDX-License-Identifier: Apache-2.0
"""A QMP connection whose events carry the time they came: nobody has to poll to know when a migration ended."""
import json
import select
import socket
import time


class QmpError(Exception):
    pass


class Qmp:
    def __init__(self, path, alive, deadline=60.0):
        until = time.monotonic() + deadline
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
                break
            except OSError as error:
                self.sock.close()
                if not alive() or time.monotonic() > until:
                    raise QmpError(f"no QMP at {path}: {error}") from error
                time.sleep(0.01)
        self.rest = b""
        self.events = []  # (time of arrival, event)
        self.replies = []
        while not self.replies:
            self.receive()
        self.replies.clear()  # the greeting
        self.call("qmp_capabilities")

    def fileno(self):
        return self.sock.fileno()

    def receive(self):
        """Waits for bytes and sorts what they complete into events and replies."""
        data = self.sock.recv(65536)
        now = time.monotonic()
        if not data:
            raise QmpError("the process closed its QMP connection")
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "event" in message:
                self.events.append((now, message))
            else:
                self.replies.append(message)

    def call(self, command, arguments=None):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while not self.replies:
            self.receive()
        reply = self.replies.pop(0)
        if "error" in reply:
            raise QmpError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def migration_end(self):
        """(time, status) of the event that ended the migration, or None."""
        for when, event in self.events:
            if event["event"] == "MIGRATION" and event["data"]["status"] in ("completed", "failed", "cancelled"):
                return when, event["data"]["status"]
        return None

    def close(self):
        self.sock.close()


def wait_for_ends(connections, deadline, tick=None):
    """Until each connection has seen the end of its migration, or one of them a bad end. `tick` is called each second."""
    until = time.monotonic() + deadline
    while True:
        ends = [c.migration_end() for c in connections]
        if all(ends) or any(end and end[1] != "completed" for end in ends):
            return ends
        if time.monotonic() > until:
            raise QmpError(f"no end of the migration after {deadline:.0f} s")
        readable, _, _ = select.select([c for c, end in zip(connections, ends) if not end], [], [], 1.0)
        for connection in readable:
            connection.receive()
        if not readable and tick:
            tick()
