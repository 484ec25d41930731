# SPDX-License-Identifier: Apache-2.0
"""Replays the same QMP requests against tern-vmm and a real QEMU and compares the answers: success
or error class, members and the types of their values, and the words of the error where clients look
at them. What differs on purpose is in DIFFERENCES, with the reason; a difference that is gone is a
failure too. Usage: qmp_compare.py BUILD_ROOT [-v]. Prints TAP."""
import array
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

QEMU = os.environ.get("TERN_QEMU", "qemu-system-x86_64")
VERBOSE = "-v" in sys.argv

DOCUMENT = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../docs/reference/qmp-differences.md"
)


def read_differences(path):
    """The table under "Request by request" of the reference page: request name -> why tern answers
    differently from QEMU 7.2. The page is the list; this test proves it."""
    differences = {}
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for line in text.split("## Request by request", 1)[1].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 2 or cells[0] in ("request", "---") or not line.startswith("|"):
            continue
        differences[cells[0].strip("`")] = cells[1]
    return differences


DIFFERENCES = read_differences(DOCUMENT)


class Side:
    """One server under comparison."""

    def __init__(self, name, argv, path, directory):
        self.name = name
        self.log = open(os.path.join(directory, name + ".log"), "wb")
        self.process = subprocess.Popen(
            argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        self.path = path
        self.sock = None
        self.buffer = b""
        self.marks = 0

    def connect(self):
        self.close()
        until = time.monotonic() + 20
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(30)
            try:
                self.sock.connect(self.path)
                break
            except OSError:
                self.sock.close()
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)
        self.buffer = b""
        return self.read()

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def read(self):
        while b"\n" not in self.buffer:
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError(self.name + " closed the connection")
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            return {"return": "not JSON"}

    def replies(self, data, fds=()):
        """What comes until the answer to a mark sent after `data`; without the events."""
        self.marks += 1
        mark = f"mark-{self.marks}"
        if fds:
            rights = array.array("i", fds).tobytes()
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        else:
            self.sock.sendall(data)
        self.sock.sendall(b'{"execute":"query-name","id":"%s"}' % mark.encode())
        out = []
        while True:
            message = self.read()
            if message.get("id") == mark:
                return out
            if "event" not in message:
                out.append(message)

    def ask(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        return self.replies(json.dumps(request).encode())[0]

    def end(self):
        self.close()
        self.process.kill()
        self.process.wait()
        self.log.close()


def shape(value):
    """The type of a value, member by member. Numbers are numbers: 0 may stand for 0.0."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if not k.startswith("x-tern")}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def error_of(reply):
    return reply.get("error", {}).get("class")


# ---- how a pair of replies is compared; each returns "" or what is wrong


def same(ours, theirs):
    if error_of(ours) != error_of(theirs):
        return f"{ours} is not like {theirs}"
    if ("id" in ours) != ("id" in theirs) or ours.get("id") != theirs.get("id"):
        return f"id of {ours} is not that of {theirs}"
    if "return" in theirs and shape(ours["return"]) != shape(theirs["return"]):
        return f"{shape(ours['return'])} is not {shape(theirs['return'])}"
    return ""


def words(ours, theirs):
    """As same, and the very words of the error: the templates that scripts match."""
    if ours.get("error") != theirs.get("error"):
        return f"{ours} is not {theirs}"
    return same(ours, theirs)


def value(ours, theirs):
    """As same, and equal values."""
    if ours.get("return") != theirs.get("return"):
        return f"{ours} is not {theirs}"
    return same(ours, theirs)


def part(ours, theirs):
    """An object of which QEMU has more members: ours have the same types and values (defaults)."""
    if error_of(ours) != error_of(theirs):
        return f"{ours} is not like {theirs}"
    for name, mine in ours["return"].items():
        if name.startswith("x-"):
            continue
        if name in NEWER_PARAMETERS:
            continue
        if name not in theirs["return"] or theirs["return"][name] != mine:
            return f"{name}: {mine} is not {theirs['return'].get(name, 'there')}"
    return ""


NEWER_PARAMETERS = {  # 8.2, 9.0, 8.1
    "avail-switchover-bandwidth",
    "zero-page-detection",
    "vcpu-dirty-limit",
}
NEWER_CAPABILITIES = {"switchover-ack", "dirty-limit"}  # 8.1


def capability_list(ours, theirs):
    have = {c["capability"]: c["state"] for c in theirs["return"]}
    for c in ours["return"]:
        if c["capability"] not in NEWER_CAPABILITIES and have.get(c["capability"]) != c["state"]:
            return f"{c} is not {have.get(c['capability'])}"
    return ""


def command_list(ours, theirs):
    have = {c["name"] for c in theirs["return"]}
    extra = {c["name"] for c in ours["return"]} - have - EXTRA_COMMANDS
    return f"commands that QEMU does not have: {extra}" if extra else ""


EXTRA_COMMANDS = {"query-migrationthreads", "query-events"}  # QEMU 8.0; QEMU before 6.0


def version(ours, theirs):
    return same({"return": ours["return"]}, {"return": theirs["return"]})


def first_fault(ours, theirs):
    """The same of several faulty parameters is named, however it is spelt."""
    names = ["downtime", "announce_initial", "announce_rounds", "announce_step", "announce_max"]
    told = []
    for reply in (ours, theirs):
        desc = reply["error"]["desc"].replace("-", "_")
        told.append(min((desc.find(n), n) for n in names if n in desc)[1])
    return same(ours, theirs) or ("" if told[0] == told[1] else f"{ours} is not like {theirs}")


def schema_forms(ours, theirs):
    """The same members for each kind of entity."""
    forms = {}
    for entity in theirs["return"]:
        forms.setdefault(entity["meta-type"], set()).update(entity)
    for entity in ours["return"]:
        extra = set(entity) - forms[entity["meta-type"]]
        if extra:
            return f"{entity['name']}: members that QEMU's entities do not have: {extra}"
    return ""


# ---- the requests


def text(command, arguments=None, **more):
    request = {"execute": command, **more}
    if arguments is not None:
        request["arguments"] = arguments
    return json.dumps(request).encode()


def raw(name, data, compare=same):
    return (name, data, compare)


def cmd(command, compare=same, name=None, **arguments):
    arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
    label = name or f"{command} {json.dumps(arguments)}" if arguments else name or command
    return (label, text(command, arguments or None), compare)


def parameters(name, compare=same, **values):
    values = {k.replace("_", "-"): v for k, v in values.items()}
    return (name, text("migrate-set-parameters", values), compare)


def capabilities(name, listed, compare=same):
    entries = [{"capability": c, "state": s} for c, s in listed]
    return (name, text("migrate-set-capabilities", {"capabilities": entries}), compare)


BEFORE_NEGOTIATION = [
    raw("a command before negotiation", text("query-status"), words),
    raw("an unknown command before negotiation", text("nosuch"), words),
    raw("stop before negotiation", text("stop", id=4), words),
    raw("negotiation, unknown argument", text("qmp_capabilities", {"x": 1}), words),
    raw("negotiation, enable no array", text("qmp_capabilities", {"enable": 1}), words),
    raw("negotiation, enable null", text("qmp_capabilities", {"enable": None}), words),
    raw("negotiation, enable unknown", text("qmp_capabilities", {"enable": ["foo"]}), words),
    raw("negotiation, enable number", text("qmp_capabilities", {"enable": [7]}), same),
    raw("exec-oob before negotiation", b'{"exec-oob":"qmp_capabilities"}', words),
    raw(
        "negotiation, arguments no object", b'{"execute":"qmp_capabilities","arguments":[]}', words
    ),
]

PROTOCOL = [
    raw("negotiation again", text("qmp_capabilities"), words),
    raw("top level array", b"[1]", words),
    raw("top level number", b"12 ", words),
    raw("top level string", b'"x"', words),
    raw("top level null", b"null ", words),
    raw("top level true", b"true ", words),
    raw("an empty object", b"{}", words),
    raw("only an id", b'{"id":5}', words),
    raw("execute a number", b'{"execute":1}', words),
    raw("execute null with id", b'{"execute":null,"id":"i"}', words),
    raw("arguments a string", b'{"execute":"query-status","arguments":"x"}', words),
    raw("arguments null", b'{"execute":"query-status","arguments":null}', words),
    raw("an unknown member", b'{"execute":"query-status","foo":1}', words),
    raw("exec-oob without oob", b'{"exec-oob":"query-status"}', words),
    raw("an unknown command", text("nosuch"), words),
    raw("an empty command", text(""), words),
    raw("a command in capitals", text("QUERY-STATUS"), words),
    raw("an unknown argument", text("query-status", {"x": 1}), words),
    raw("an argument with id", text("query-name", {"x": 1}, id=[1, {"a": None}]), words),
    raw("id null", text("query-name", id=None), value),
    raw("id object", text("query-name", id={"a": [1, 2, {}]}), value),
    raw("id a large integer", b'{"execute":"query-name","id":18446744073709551615}', value),
    raw("id the smallest integer", b'{"execute":"query-name","id":-9223372036854775808}', value),
    raw("id beyond 64 bits", b'{"execute":"query-name","id":18446744073709551616}', value),
    raw("id a fraction", b'{"execute":"query-name","id":1.50}', value),
    raw("id with NUL", b'{"execute":"query-name","id":"a\\u0000b"}', value),
    raw("id with an emoji", '{"execute":"query-name","id":"\U0001f600\u00e9"}'.encode(), value),
    raw("id an escaped emoji", b'{"execute":"query-name","id":"\\ud83d\\ude00"}', value),
    raw("id true", b'{"execute":"query-name","id":true}', value),
    raw("line breaks inside", b'{\r\n "execute"\n:\t"query-name"\n,\n"id" :\n1 }', value),
    raw("single quoted strings", b"{'execute':'query-name'}"),
    raw("overlong UTF-8", b'{"execute":"query-name","id":"\xc0\x80"}'),
    raw("encoded surrogate", b'{"execute":"query-name","id":"\xed\xa0\x80"}'),
    raw("unpaired surrogate", b'{"execute":"query-name","id":"\\ud800"}'),
    raw("unknown escape", b'{"execute":"query-name","id":"\\x"}'),
    raw("short \\u", b'{"execute":"query-name","id":"\\u12"}'),
    raw("number out of range", b'{"execute":"query-name","id":1e400}'),
    raw("leading zero", b'{"execute":"query-name","id":01}'),
    raw("NaN", b'{"execute":"query-name","id":NaN}'),
    raw("Infinity", b'{"execute":"query-name","id":Infinity}'),
    raw("trailing comma", b'{"execute":"query-name","id":1,}'),
    raw("missing comma", b'{"execute":"query-name" "id":1}'),
    raw("missing colon", b'{"execute" "query-name"}'),
    raw("a comment", b'{"execute":"query-name"/* */}'),
    raw("duplicate key", b'{"execute":"query-name","execute":"stop"}', words),
    raw("duplicate key deep inside", b'{"execute":"query-name","id":{"a":1,"a":1}}', words),
    raw("a stray bracket", b"}"),
    raw("a stray comma", b",\n"),
    raw("brackets that do not match", b"[}"),
    raw("a stray character", b"@\n"),
    raw("a misspelt keyword", b"nul "),
    raw("a tab in a string", b'{"execute":"query-name","id":"\t"}\n'),
    raw("a line end in a string", b'{"execute":"query\n'),
    raw("reset byte", b"\xff"),
    raw("reset byte in an object", b'{"execute":\xff'),
    raw("control byte in an object", b'{"execute":\x01\n'),
    raw("byte order mark", b"\xef\xbb\xbf\n"),
    raw("nesting of 1024", b"[" * 1024 + b"]" * 1024, words),
    raw("nesting of 1025", b"[" * 1025 + b"]" * 1025, words),
]

BASE = [
    cmd("query-version", version),
    cmd("query-commands", command_list),
    cmd("query-status", value),
    cmd("query-name", value),
    cmd("query-uuid", value),
    cmd("query-target", value),
    cmd("query-events", words),
    cmd("query-migrationthreads", words),
    cmd("query-kvm"),
    cmd("query-kvm", words, name="query-kvm with an argument", x=1),
    cmd("query-qmp-schema", schema_forms),
    cmd("query-qmp-schema", words, name="query-qmp-schema with an argument", x=1),
    cmd("query-yank", value),
    cmd("query-yank", words, name="query-yank with an argument", x=1),
    cmd("yank", words, name="yank without arguments"),
    cmd("yank", words, name="yank, instances an object", instances={}),
    cmd("yank", words, name="yank, an instance a string", instances=["migration"]),
    cmd("yank", words, name="yank, type missing", instances=[{}]),
    cmd("yank", words, name="yank, type unknown", instances=[{"type": "nosuch"}]),
    cmd("yank", words, name="yank, chardev without id", instances=[{"type": "chardev"}]),
    cmd(
        "yank",
        words,
        name="yank, migration with an id",
        instances=[{"type": "migration", "id": "x"}],
    ),
    cmd("yank", same, name="yank of a chardev", instances=[{"type": "chardev", "id": "x"}]),
    cmd("yank", same, name="yank of a node", instances=[{"type": "block-node", "node-name": "x"}]),
    cmd("yank", same, name="yank, nothing to yank", instances=[{"type": "migration"}]),
    cmd("yank", value, name="yank of nothing", instances=[]),
    cmd("query-dirty-rate", same, name="query-dirty-rate"),
    cmd("calc-dirty-rate", words, name="calc-dirty-rate without arguments"),
    cmd("calc-dirty-rate", words, **{"calc-time": 0}, name="calc-dirty-rate for nothing"),
    cmd("calc-dirty-rate", words, **{"calc-time": 61}, name="calc-dirty-rate for too long"),
    cmd("calc-dirty-rate", words, **{"calc-time": -1}, name="calc-dirty-rate, negative"),
    cmd(
        "calc-dirty-rate",
        words,
        name="calc-dirty-rate, few samples",
        **{"calc-time": 1, "sample-pages": 127},
    ),
    cmd(
        "calc-dirty-rate",
        words,
        name="calc-dirty-rate, many samples",
        **{"calc-time": 1, "sample-pages": 16385},
    ),
    cmd(
        "calc-dirty-rate",
        words,
        name="calc-dirty-rate, samples of a ring",
        **{"calc-time": 1, "mode": "dirty-ring", "sample-pages": 512},
    ),
    # A mode that is not there makes QEMU 7.2 crash without KVM.
    cmd(
        "calc-dirty-rate",
        words,
        name="calc-dirty-rate, unknown mode",
        **{"calc-time": 1, "mode": "x"},
    ),
    cmd("calc-dirty-rate", value, name="calc-dirty-rate", **{"calc-time": 1}),
    cmd("query-vcpu-dirty-limit", same),
    cmd("query-vcpu-dirty-limit", words, name="query-vcpu-dirty-limit with an argument", x=1),
    cmd("set-vcpu-dirty-limit", words, name="set-vcpu-dirty-limit without arguments"),
    cmd("set-vcpu-dirty-limit", same, **{"dirty-rate": 5}),
    cmd(
        "set-vcpu-dirty-limit",
        same,
        name="set-vcpu-dirty-limit, no such vCPU",
        **{"dirty-rate": 5, "cpu-index": 99},
    ),
    cmd(
        "set-vcpu-dirty-limit",
        words,
        name="set-vcpu-dirty-limit, a text",
        **{"dirty-rate": "x"},
    ),
    cmd("set-vcpu-dirty-limit", same, name="set-vcpu-dirty-limit to 0", **{"dirty-rate": 0}),
    cmd("cancel-vcpu-dirty-limit", same),
    cmd(
        "cancel-vcpu-dirty-limit",
        same,
        name="cancel-vcpu-dirty-limit, no such vCPU",
        **{"cpu-index": 99},
    ),
    cmd("announce-self", words, name="announce-self without arguments"),
    cmd("announce-self", value, name="announce-self", initial=50, max=550, rounds=5, step=50),
    cmd(
        "announce-self",
        value,
        name="announce-self, named",
        initial=50,
        max=550,
        rounds=1,
        step=50,
        interfaces=["net0"],
        id="a",
    ),
    cmd(
        "announce-self",
        words,
        name="announce-self, rounds a string",
        initial=50,
        max=550,
        rounds="5",
        step=50,
    ),
    cmd(
        "announce-self",
        words,
        name="announce-self, interfaces a string",
        initial=50,
        max=550,
        rounds=5,
        step=50,
        interfaces="net0",
    ),
    cmd(
        "announce-self",
        words,
        name="announce-self, an interface a number",
        initial=50,
        max=550,
        rounds=5,
        step=50,
        interfaces=[1],
    ),
    cmd("announce-self", same, name="announce-self, negative", initial=-1, max=550, rounds=5, step=50),
    cmd("announce-self", same, name="announce-self, no round", initial=5, max=5, rounds=0, step=5),
    cmd("announce-self", value, name="announce-self, step 0", initial=5, max=5, rounds=1, step=0),
    cmd(
        "announce-self",
        value,
        name="announce-self, beyond the parameters' ranges",
        initial=200000,
        max=200000,
        rounds=2000,
        step=20000,
    ),
    cmd("migrate_set_speed", words, value=1),
    cmd("migrate_set_downtime", words, value=1),
    cmd("migrate-set-cache-size", words, value=1),
    cmd("query-migrate-cache-size", words),
    cmd("stop", value, name="stop in prelaunch"),
    cmd("query-status", value, name="status after stop in prelaunch"),
    cmd("cont", value),
    cmd("query-status", value, name="status after cont"),
    cmd("cont", value, name="cont again"),
    cmd("stop", value),
    cmd("query-status", value, name="status after stop"),
    cmd("stop", value, name="stop again"),
    cmd("stop", words, name="stop with an argument", x=1),
    cmd("pmemsave", words, name="pmemsave without arguments"),
    cmd("pmemsave", words, name="pmemsave, no filename", val=0, size=1),
    cmd("pmemsave", words, name="pmemsave, val a string", val="0", size=1, filename="/dev/null"),
    cmd("pmemsave", words, name="pmemsave, size a fraction", val=0, size=1.5, filename="/dev/null"),
    cmd(
        "pmemsave",
        words,
        name="pmemsave, size too large",
        val=0,
        size=2**63,
        filename="/dev/null",
    ),
    cmd("pmemsave", words, name="pmemsave, filename a number", val=0, size=1, filename=1),
    cmd("pmemsave", same, name="pmemsave, no such directory", val=0, size=1, filename="/no/such/x"),
    cmd("pmemsave", value, name="pmemsave", val=0, size=4096, filename="/dev/null"),
    cmd("getfd", words, name="getfd without arguments"),
    cmd("getfd", same, name="getfd without a descriptor", fdname="x"),
    cmd("closefd", same, name="closefd of an unknown name", fdname="x"),
    cmd("closefd", words, name="closefd, name a number", fdname=3),
]

SETTINGS = [
    cmd("query-migrate", value, name="query-migrate before anything"),
    cmd("query-migrate", words, name="query-migrate with an argument", x=1),
    cmd("query-migrate-parameters", part),
    cmd("query-migrate-capabilities", capability_list),
    parameters("no parameter", value),
    parameters("max-bandwidth", value, max_bandwidth=1000000),
    parameters("max-bandwidth 0", value, max_bandwidth=0),
    parameters("max-bandwidth, the largest", value, max_bandwidth=2**64 - 1),
    cmd("query-migrate-parameters", part, name="parameters after the largest max-bandwidth"),
    parameters("max-bandwidth beyond 64 bits", words, max_bandwidth=2**64),
    parameters("max-bandwidth a string", words, max_bandwidth="1M"),
    parameters("max-bandwidth a fraction", words, max_bandwidth=1.0),
    parameters("max-bandwidth null", words, max_bandwidth=None),
    parameters("max-bandwidth an object", words, max_bandwidth={}),
    parameters("max-bandwidth true", words, max_bandwidth=True),
    parameters("max-bandwidth negative", max_bandwidth=-1),
    parameters("downtime-limit", value, downtime_limit=2000000),
    parameters("downtime-limit 0", value, downtime_limit=0),
    parameters("downtime-limit too large", same, downtime_limit=2000001),
    parameters("downtime-limit negative", same, downtime_limit=-1),
    parameters("downtime-limit a string", words, downtime_limit="300"),
    parameters("one good, one bad", same, max_bandwidth=7, downtime_limit=2000001),
    cmd("query-migrate-parameters", part, name="parameters after one good, one bad"),
    parameters("both good", value, max_bandwidth=134217728, downtime_limit=300),
    cmd("query-migrate-parameters", part, name="parameters after both good"),
    parameters("announce, all four", value, announce_initial=1, announce_max=2, announce_rounds=3,
               announce_step=4),
    cmd("query-migrate-parameters", part, name="parameters after announce"),
    parameters("announce-initial too large", same, announce_initial=100001),
    parameters("announce-max too large", same, announce_max=100001),
    parameters("announce-rounds too large", same, announce_rounds=1001),
    parameters("announce-step too large", same, announce_step=10001),
    parameters("announce-step 0", same, announce_step=0),
    parameters("announce-rounds a string", words, announce_rounds="5"),
    parameters("announce-rounds negative", same, announce_rounds=-1),
    parameters("announce back", value, announce_initial=50, announce_max=550, announce_rounds=5,
               announce_step=100),
    parameters("tls-creds null", tls_creds=None),
    parameters("downtime-limit true", words, downtime_limit=True),
    parameters("downtime-limit an array", words, downtime_limit=[]),
    parameters("downtime-limit null", words, downtime_limit=None),
    parameters("an unknown parameter", words, nosuch=1),
    parameters("multifd-channels 4", value, multifd_channels=4),
    parameters("multifd-channels 0", same, multifd_channels=0),
    parameters("multifd-channels 256", words, multifd_channels=256),
    parameters("multifd-channels back", value, multifd_channels=2),
    parameters("multifd-compression zstd", value, multifd_compression="zstd"),
    cmd("query-migrate-parameters", part, name="parameters after multifd-compression"),
    parameters("multifd-compression unknown", words, multifd_compression="lzma"),
    capabilities("zero-copy-send without multifd", [("zero-copy-send", True)]),
    capabilities("zero-copy-send with compression", [("multifd", True), ("zero-copy-send", True)]),
    parameters("multifd-compression none", value, multifd_compression="none"),
    capabilities("zero-copy-send", [("multifd", True), ("zero-copy-send", True)], value),
    parameters("multifd-compression with zero-copy-send", words, multifd_compression="zlib"),
    capabilities("zero-copy-send off", [("multifd", False), ("zero-copy-send", False)], value),
    parameters("multifd-zlib-level 10", multifd_zlib_level=10),
    parameters("multifd-zstd-level 21", multifd_zstd_level=21),
    parameters("zero-page-detection", zero_page_detection="legacy"),
    parameters("wrong type before unknown", words, max_bandwidth="x", nosuch=1),
    raw("parameters an array", b'{"execute":"migrate-set-parameters","arguments":[]}', words),
    cmd("migrate-set-capabilities", words, name="no capabilities"),
    capabilities("an empty list", [], value),
    capabilities("events on", [("events", True)], value),
    capabilities("events off", [("events", False)], value),
    capabilities(
        "three at once",
        [("return-path", True), ("validate-uuid", True), ("pause-before-switchover", True)],
        value,
    ),
    cmd("query-migrate-capabilities", capability_list, name="capabilities after three at once"),
    capabilities("the last one wins", [("return-path", True), ("return-path", False)], value),
    cmd("query-migrate-capabilities", capability_list, name="capabilities after the last one wins"),
    capabilities(
        "three off",
        [("return-path", False), ("validate-uuid", False), ("pause-before-switchover", False)],
        value,
    ),
    capabilities("capability unknown", [("nosuch", True)], words),
    capabilities("capability a number", [(1, True)], words),
    capabilities("capability xbzrle", [("xbzrle", True)], value),
    capabilities("capability xbzrle off", [("xbzrle", False)], value),
    capabilities("capability compress", [("compress", True)], value),
    capabilities("compress and multifd", [("multifd", True)], same),
    capabilities("compress and xbzrle", [("xbzrle", True)]),
    capabilities("capability compress off", [("compress", False), ("xbzrle", False)], value),
    capabilities("multifd and xbzrle", [("multifd", True), ("xbzrle", True)]),
    capabilities("multifd and xbzrle off", [("multifd", False), ("xbzrle", False)], value),
    parameters("compress parameters", value, compress_level=9, compress_threads=3, decompress_threads=4,
               compress_wait_thread=False),
    cmd("query-migrate-parameters", part, name="parameters after compress"),
    parameters("compress-level 10", same, compress_level=10),
    parameters("compress-threads 0", same, compress_threads=0),
    parameters("decompress-threads 0", same, decompress_threads=0),
    parameters("compress back", value, compress_level=1, compress_threads=8, decompress_threads=2,
               compress_wait_thread=True),
    parameters("throttle", value, throttle_trigger_threshold=100, cpu_throttle_initial=30,
               cpu_throttle_increment=1, cpu_throttle_tailslow=True, max_cpu_throttle=30),
    cmd("query-migrate-parameters", part, name="parameters after throttle"),
    parameters("cpu-throttle-initial above the maximum", same, cpu_throttle_initial=31),
    parameters("max-cpu-throttle below the initial", same, max_cpu_throttle=29),
    parameters("max-cpu-throttle 100", same, max_cpu_throttle=100),
    parameters("cpu-throttle-initial 0", same, cpu_throttle_initial=0),
    parameters("cpu-throttle-increment 100", same, cpu_throttle_increment=100),
    parameters("throttle-trigger-threshold 0", same, throttle_trigger_threshold=0),
    parameters("throttle-trigger-threshold 101", same, throttle_trigger_threshold=101),
    parameters("throttle-trigger-threshold 256", same, throttle_trigger_threshold=256),
    parameters("throttle back", value, throttle_trigger_threshold=50, cpu_throttle_initial=20,
               cpu_throttle_increment=10, cpu_throttle_tailslow=False, max_cpu_throttle=99),
    capabilities("auto-converge", [("auto-converge", True)], value),
    capabilities("auto-converge off", [("auto-converge", False)], value),
    parameters("xbzrle-cache-size", value, xbzrle_cache_size=1 << 20),
    cmd("query-migrate-parameters", part, name="parameters after xbzrle-cache-size"),
    parameters("xbzrle-cache-size no power of two", same, xbzrle_cache_size=5000),
    parameters("xbzrle-cache-size below a page", same, xbzrle_cache_size=2048),
    parameters("xbzrle-cache-size back", value, xbzrle_cache_size=1 << 26),
    capabilities("state a string", [("events", "on")], words),
    capabilities("state null", [("events", None)], words),
    capabilities("good then bad", [("validate-uuid", True), ("nosuch", True)], words),
    cmd("query-migrate-capabilities", capability_list, name="capabilities after good then bad"),
    cmd("migrate-set-capabilities", words, name="capabilities an object", capabilities={}),
    # Two that do not go together; QEMU 7.2 does not know the one of them, which is as good an error.
    capabilities("switchover-ack without return-path", [("switchover-ack", True)], same),
    capabilities(
        "switchover-ack on, return-path off",
        [("return-path", True), ("switchover-ack", True), ("return-path", False)],
        same,
    ),
    cmd("query-migrate-capabilities", capability_list, name="capabilities after a conflict"),
    parameters("two faults, the first in QEMU's order is told", first_fault,
               announce_initial=100001, downtime_limit=2000001),
    parameters("two faults, the other way round", first_fault,
               announce_step=10001, announce_rounds=1001),
    cmd(
        "migrate-set-capabilities",
        words,
        name="capabilities, state missing",
        capabilities=[{"capability": "events"}],
    ),
    cmd(
        "migrate-set-capabilities",
        words,
        name="capabilities, second name missing",
        capabilities=[{"capability": "events", "state": False}, {"state": True}],
    ),
    cmd("migrate-set-capabilities", words, name="capabilities, a number", capabilities=[1]),
    cmd(
        "migrate-set-capabilities",
        words,
        name="capabilities, extra member",
        capabilities=[{"capability": "events", "state": False, "x": 1}],
    ),
]

OUT_OF_BAND = [
    raw("oob query-yank", b'{"exec-oob":"query-yank","id":1}'),
    raw("oob with arguments", b'{"exec-oob":"query-yank","arguments":{"x":1},"id":2}', words),
    raw("oob of a command that cannot", b'{"exec-oob":"query-status","id":3}', words),
    raw("oob of an unknown command", b'{"exec-oob":"nosuch","id":4}', words),
    raw("oob and execute", b'{"exec-oob":"query-yank","execute":"query-yank"}', words),
    raw("oob a number", b'{"exec-oob":1,"id":[]}', words),
    raw("oob yank of nothing", b'{"exec-oob":"yank","arguments":{"instances":[]},"id":5}', value),
    raw(
        "oob yank of a chardev",
        b'{"exec-oob":"yank","arguments":{"instances":[{"type":"chardev","id":"x"}]},"id":6}',
    ),
    raw("oob negotiation", b'{"exec-oob":"qmp_capabilities","id":7}', words),
    cmd("query-yank", name="query-yank in band"),
    cmd("query-status", value, name="query-status with oob enabled"),
]

OUTGOING = [
    cmd("migrate_cancel", value, name="cancel before anything"),
    cmd("migrate_cancel", words, name="cancel with an argument", x=1),
    cmd("migrate-continue", words, name="continue without a state"),
    cmd("migrate-continue", words, name="continue, state a number", state=1),
    cmd("migrate-continue", words, name="continue, state unknown", state="xx"),
    cmd("migrate-continue", value, name="continue from none", state="none"),
    cmd("migrate-continue", same, name="continue from pre-switchover", state="pre-switchover"),
    cmd("migrate-continue", same, name="continue from active", state="active"),
    cmd("migrate-incoming", same, name="incoming on a source", uri="tcp:127.0.0.1:0"),
    cmd("migrate", same, name="migrate without arguments"),
    cmd("migrate", words, name="migrate, uri a number", uri=1),
    cmd("migrate", words, name="migrate, uri null", uri=None),
    cmd("migrate", words, name="migrate, unknown argument", uri="tcp:127.0.0.1:1", nosuch=1),
    cmd("migrate", words, name="migrate, detach a string", uri="tcp:127.0.0.1:1", detach="yes"),
    cmd("migrate", words, name="migrate, resume a number", uri="tcp:127.0.0.1:1", resume=1),
    cmd("migrate", same, name="migrate, resume of nothing", uri="tcp:127.0.0.1:1", resume=True),
    cmd("query-migrate", value, name="query-migrate after refused requests"),
    cmd("migrate", same, name="migrate blk", uri="unix:/no/such/socket", blk=False),
    ("settle", None, None),
    cmd(
        "migrate",
        same,
        name="migrate channels",
        channels=[{"channel-type": "main", "addr": {"transport": "exec", "args": ["/bin/false"]}}],
    ),
    ("settle", None, None),
    cmd(
        "migrate",
        same,
        name="migrate, channels and uri",
        uri="tcp:127.0.0.1:1",
        channels=[{"channel-type": "main", "addr": {"transport": "exec", "args": ["/bin/false"]}}],
    ),
    cmd("migrate", same, name="migrate, no channel", channels=[]),
    cmd(
        "migrate",
        same,
        name="migrate, channel without address",
        channels=[{"channel-type": "main"}],
    ),
    cmd("migrate", same, name="migrate to an empty uri", uri=""),
    cmd("query-migrate", same, name="query-migrate after bad uri"),
    cmd("migrate", same, name="migrate, unknown scheme", uri="foo"),
    cmd("migrate", same, name="migrate, scheme in capitals", uri="TCP:127.0.0.1:1"),
    cmd("migrate", same, name="migrate to defer", uri="defer"),
    cmd("migrate", same, name="migrate, tcp without address", uri="tcp:"),
    cmd("migrate", same, name="migrate, tcp without port", uri="tcp:127.0.0.1"),
    cmd("migrate", same, name="migrate, IPv6 without port", uri="tcp:[::1]"),
    cmd("migrate", same, name="migrate, unix without path", uri="unix:"),
    cmd("migrate", same, name="migrate, vsock without port", uri="vsock:3"),
    cmd("migrate", same, name="migrate, fd without name", uri="fd:"),
    cmd("migrate", same, name="migrate, fd unknown", uri="fd:nosuch"),
    cmd("query-migrate", same, name="query-migrate after fd unknown"),
    *[cmd("migrate", same, name=f"migrate, fd {n}", uri=f"fd:{n}") for n in range(6)],
    cmd("migrate", same, name="migrate, mptcp", uri="tcp:127.0.0.1:1,mptcp"),
    ("settle", None, None),
    cmd("migrate-continue", same, name="continue from postcopy-active", state="postcopy-active"),
    cmd("query-status", value, name="status after failed migrations"),
    cmd("migrate", value, name="migrate to nobody (unix)", uri="unix:/no/such/socket"),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate after nobody (unix)"),
    cmd("migrate", value, name="migrate to nobody (tcp)", uri="tcp:127.0.0.1:1", detach=True),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate after nobody (tcp)"),
    cmd("query-status", value, name="status after a refused connection"),
    cmd("migrate", same, name="migrate port above 65535", uri="tcp:127.0.0.1:65537"),
    ("settle", None, None),
    cmd("migrate_cancel", value, name="cancel after failed"),
    cmd("migrate-continue", value, name="continue from failed", state="failed"),
    capabilities("pause before switchover", [("pause-before-switchover", True)], value),
    cmd("migrate", value, name="migrate to a file through exec", uri="exec:cat >/dev/null"),
    ("until pre-switchover", None, None),
    cmd("query-migrate", same, name="query-migrate in pre-switchover"),
    cmd("query-status", value, name="status in pre-switchover"),
    cmd("query-yank", value, name="query-yank while one runs"),
    cmd(
        "yank",
        same,
        name="yank of a migration and of nothing",
        instances=[{"type": "migration"}, {"type": "chardev", "id": "x"}],
    ),
    cmd("query-migrate", same, name="query-migrate after a refused yank"),
    cmd("migrate", same, name="migrate while one runs", uri="exec:cat >/dev/null"),
    capabilities("capabilities while one runs", [("events", True)], same),
    parameters("parameters while one runs", value, max_bandwidth=1000),
    cmd("stop", value, name="stop in pre-switchover"),
    cmd("cont", same, name="cont in pre-switchover"),
    cmd("migrate-continue", same, name="continue from the wrong state", state="active"),
    cmd("migrate-incoming", same, name="incoming while one runs", uri="tcp:127.0.0.1:0"),
    cmd("migrate_cancel", value, name="cancel in pre-switchover"),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate after cancel"),
    cmd("query-status", value, name="status after cancel"),
    cmd("cont", value, name="cont after cancel"),
    cmd("stop", value, name="stop after cancel"),
    cmd("migrate", value, name="migrate after cancel", uri="exec:cat >/dev/null"),
    ("until pre-switchover", None, None),
    cmd(
        "migrate-continue",
        value,
        name="continue from pre-switchover for real",
        state="pre-switchover",
    ),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate when completed"),
    cmd("query-status", value, name="status when completed"),
    cmd("migrate", same, name="migrate when completed", uri="exec:cat >/dev/null"),
    cmd("migrate_cancel", value, name="cancel when completed"),
    cmd("query-migrate", same, name="query-migrate after a late cancel"),
    cmd("cont", value, name="cont when completed"),
    cmd("query-status", value, name="status after cont when completed"),
    cmd("migrate", value, name="migrate after cont", uri="exec:cat >/dev/null"),
    ("until pre-switchover", None, None),
    cmd("cont", same, name="cont of a running guest in pre-switchover"),
    cmd("migrate_cancel", value, name="cancel of a running guest"),
    ("settle", None, None),
    cmd("query-status", value, name="status of a running guest after cancel"),
]

INCOMING = [
    cmd("query-status", value, name="status when waiting"),
    cmd("query-migrate", value, name="query-migrate when waiting"),
    cmd("migrate", same, name="migrate from a destination", uri="tcp:127.0.0.1:1"),
    cmd("cont", value, name="cont when waiting"),
    cmd("stop", value, name="stop when waiting"),
    cmd("query-status", value, name="status when still waiting"),
    cmd("migrate-incoming", words, name="incoming, uri a number", uri=1),
    cmd("migrate-incoming", words, name="incoming, unknown argument", uri="tcp:127.0.0.1:0", x=1),
    cmd("migrate-incoming", same, name="incoming without arguments"),
    cmd("migrate-incoming", same, name="incoming, unknown scheme", uri="foo"),
    cmd("migrate-incoming", same, name="incoming on defer", uri="defer"),
    cmd("migrate-incoming", same, name="incoming, tcp without port", uri="tcp:127.0.0.1"),
    cmd("migrate-incoming", same, name="incoming, unix in no directory", uri="unix:/no/such/dir/s"),
    cmd("migrate-incoming", same, name="incoming, fd unknown", uri="fd:nosuch"),
    cmd("query-migrate", value, name="query-migrate after failed listens"),
    cmd("migrate_cancel", value, name="cancel when waiting"),
    parameters("parameters when waiting", value, downtime_limit=5),
    capabilities("capabilities when waiting", [("return-path", True)], value),
    cmd(
        "migrate-incoming",
        same,
        name="incoming, exit-on-error a string",
        uri="tcp:127.0.0.1:0",
        exit_on_error="x",
    ),
    cmd("migrate-incoming", same, name="incoming", uri="tcp:127.0.0.1:0"),
    cmd("query-migrate", same, name="query-migrate listening"),
    cmd("query-yank", value, name="query-yank when listening"),
    cmd("migrate-incoming", same, name="incoming again", uri="tcp:127.0.0.1:0"),
    cmd("query-status", value, name="status when listening"),
    cmd("migrate-continue", value, name="continue on a destination", state="none"),
]


# What QEMU makes of files is tried in tls_test.py.
OBJECTS = [
    cmd("object-add", words, name="object-add, nothing"),
    cmd("object-add", words, name="object-add without an id", qom_type="secret", data="x"),
    cmd("object-add", words, name="object-add without a type", id="o"),
    cmd("object-add", words, name="object-add, unknown type", qom_type="nosuch", id="o"),
    cmd("object-add", words, name="object-add, id a number", qom_type="secret", id="9x", data="a"),
    cmd("object-add", words, name="object-add, no id at all", qom_type="secret", id="", data="a"),
    cmd("object-add", words, name="secret of nothing", qom_type="secret", id="s"),
    cmd("object-add", words, name="secret of both", qom_type="secret", id="s", data="a", file="b"),
    cmd("object-add", words, name="secret, format", qom_type="secret", id="s", data="a", format="hex"),
    cmd("object-add", words, name="secret, no base64", qom_type="secret", id="s", data="!!!!", format="base64"),
    cmd("object-add", same, name="secret, no file", qom_type="secret", id="s", file="/no/such/file"),
    cmd("object-add", words, name="secret, a member more", qom_type="secret", id="s", data="a", bogus="b"),
    cmd("object-add", words, name="secret, data a number", qom_type="secret", id="s", data=1),
    cmd("object-add", value, name="secret", qom_type="secret", id="s", data="aGVsbG8=", format="base64"),
    cmd("object-add", words, name="secret again", qom_type="secret", id="s", data="x"),
    cmd("object-add", words, name="x509 without dir", qom_type="tls-creds-x509", id="t"),
    cmd("object-add", words, name="psk without dir", qom_type="tls-creds-psk", id="t"),
    cmd("object-add", words, name="x509, no such dir", qom_type="tls-creds-x509", id="t", dir="/no/such"),
    cmd("object-add", words, name="psk, no such dir", qom_type="tls-creds-psk", id="t", dir="/no/such"),
    cmd("object-add", words, name="x509, endpoint", qom_type="tls-creds-x509", id="t", dir="/", endpoint="x"),
    cmd("object-add", words, name="x509, verify-peer a string", qom_type="tls-creds-x509", id="t",
        dir="/", verify_peer="on"),
    cmd("object-add", words, name="simple without identity", qom_type="authz-simple", id="a"),
    cmd("object-add", value, name="simple", qom_type="authz-simple", id="a", identity="CN=x"),
    cmd("object-add", words, name="list, rules no array", qom_type="authz-list", id="b", rules={}),
    cmd("object-add", words, name="list, rule without policy", qom_type="authz-list", id="b",
        rules=[{"match": "x"}]),
    cmd("object-add", words, name="list, rule without match", qom_type="authz-list", id="b",
        rules=[{"policy": "allow"}]),
    cmd("object-add", words, name="list, a member more", qom_type="authz-list", id="b",
        rules=[{"match": "x", "policy": "allow", "y": 1}]),
    cmd("object-add", words, name="list, policy", qom_type="authz-list", id="b", policy="maybe"),
    cmd("object-add", value, name="list", qom_type="authz-list", id="b", policy="deny",
        rules=[{"match": "a*", "policy": "allow", "format": "glob"}]),
    cmd("object-add", same, name="list-file", qom_type="authz-list-file", id="c", filename=DOCUMENT),
    cmd("qom-list", same, name="qom-list of the objects", path="/objects"),
    cmd("qom-list", same, name="qom-list, a relative path", path="objects"),
    cmd("qom-list", same, name="qom-list of an object", path="/objects/a"),
    cmd("qom-list", words, name="qom-list, no such object", path="/objects/nosuch"),
    cmd("qom-list", words, name="qom-list, no such path", path="/nosuch"),
    cmd("qom-list", same, name="qom-list of the root", path="/"),
    cmd("qom-list", words, name="qom-list of nothing", path=""),
    cmd("object-del", words, name="object-del, unknown", id="nosuch"),
    cmd("object-del", value, name="object-del", id="b"),
    cmd("object-del", words, name="object-del again", id="b"),
    parameters("tls-creds of no object", value, tls_creds="nosuch", tls_hostname="h", tls_authz="z"),
    cmd("migrate", value, name="migrate, no credentials", uri="tcp:127.0.0.1:1"),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate, no credentials"),
    parameters("tls-creds of another object", value, tls_creds="s"),
    cmd("migrate", value, name="migrate, other credentials", uri="tcp:127.0.0.1:1"),
    ("settle", None, None),
    cmd("query-migrate", same, name="query-migrate, other credentials"),
    parameters("no tls-creds", value, tls_creds="", tls_hostname="", tls_authz=""),
]


class Comparison:
    def __init__(self, directory, build):
        self.directory = directory
        self.vmm = os.path.join(build, "tools", "tern-vmm")
        self.number = 0
        self.failed = 0
        self.used = set()

    def start(self, *, incoming=False):
        theirs = os.path.join(self.directory, "qemu.qmp")
        ours = os.path.join(self.directory, "tern.qmp")
        more = ["-incoming", "defer"] if incoming else []
        qemu = Side(
            "qemu",
            [
                QEMU,
                "-machine",
                "none",
                "-nodefaults",
                "-display",
                "none",
                "-S",
                "-m",
                "1M",
                "-qmp",
                f"unix:{theirs},server=on,wait=off",
                *more,
            ],
            theirs,
            self.directory,
        )
        more = ["--incoming", "defer"] if incoming else []
        tern = Side(
            "tern",
            [
                self.vmm,
                "--machine",
                "none",
                "--ram",
                "1M",
                "--paused",
                "--qmp",
                f"unix:{ours}",
                *more,
            ],
            ours,
            self.directory,
        )
        return tern, qemu

    def result(self, name, fault):
        self.number += 1
        reason = DIFFERENCES.get(name)
        if reason:
            self.used.add(name)
            if fault:
                print(f"ok {self.number} - {name} # differs: {reason}")
                return
            fault = "listed as a difference, but there is none"
        if fault:
            self.failed += 1
            print(f"not ok {self.number} - {name}\n# {fault}")
        else:
            print(f"ok {self.number} - {name}")

    @staticmethod
    def settle(side, wanted):
        """Waits until the migration has ended or reached a state."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            status = side.ask("query-migrate")["return"].get("status", "none")
            if status in wanted:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{side.name}: {status} instead of {wanted}")

    def replay(self, sides, requests):
        tern, qemu = sides
        for name, data, compare in requests:
            if data is None:
                wanted = {
                    "settle": ("none", "completed", "failed", "cancelled"),
                    "until pre-switchover": ("pre-switchover",),
                }[name]
                for side in sides:
                    self.settle(side, wanted)
                continue
            ours, theirs = tern.replies(data), qemu.replies(data)
            if VERBOSE:
                print(f"#   {data!r}\n#   tern {ours}\n#   qemu {theirs}")
            # A broken text may be answered twice by QEMU; tern answers once.
            fault = (
                compare(ours[0], theirs[0]) if ours and theirs else f"{ours} is not like {theirs}"
            )
            if len(ours) > 1:
                fault = f"{len(ours)} answers: {ours}"
            self.result(name, fault)

    def descriptors(self, sides):
        """Which descriptor a getfd gets, when several came or came with something else."""
        rows = [
            ("getfd without a name", [text("getfd", {"fdname": ""})], [1]),
            ("getfd with two descriptors", [text("getfd", {"fdname": "a"})], [2]),
            ("getfd after two descriptors", [text("getfd", {"fdname": "b"})], [0]),
            ("getfd of a digit", [text("getfd", {"fdname": "1x"})], [1]),
            ("getfd after a refused one", [text("getfd", {"fdname": "c"})], [0]),
            ("a descriptor before its getfd", [b" ", text("getfd", {"fdname": "d"})], [1, 0]),
            ("closefd of the first", [text("closefd", {"fdname": "a"})], [0]),
            ("closefd of the second", [text("closefd", {"fdname": "b"})], [0]),
            ("closefd of the one without a name", [text("closefd", {"fdname": ""})], [0]),
        ]
        with open("/dev/null", "rb") as null:
            for name, texts, counts in rows:
                answers = []
                for side in sides:
                    for data, count in zip(texts[:-1], counts[:-1]):
                        rights = array.array("i", [null.fileno()] * count).tobytes()
                        side.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                    answers.append(side.replies(texts[-1], [null.fileno()] * counts[-1])[0])
                self.result(name, same(*answers))

    def run_alone(self, requests, *, incoming=False):
        """In processes of their own: what was done before would show."""
        sides = self.start(incoming=incoming)
        try:
            for side in sides:
                side.connect()
                side.sock.sendall(text("qmp_capabilities", {}))
                side.read()
            self.replay(sides, requests)
        finally:
            for side in sides:
                side.end()

    def run(self):
        sides = self.start()
        try:
            greetings = [side.connect() for side in sides]
            mine, its = (shape(g["QMP"]["version"]) for g in greetings)
            self.result("greeting", "" if mine == its else f"{mine} is not {its}")
            # Marks do not work before negotiation: every request gets one answer there.
            for name, data, compare in BEFORE_NEGOTIATION:
                answers = []
                for side in sides:
                    side.sock.sendall(data)
                    answers.append(side.read())
                self.result(name, compare(*answers))
            for side in sides:
                side.connect()
            answers = []
            for side in sides:
                side.sock.sendall(text("qmp_capabilities", {"enable": ["oob"]}))
                answers.append(side.read())
            self.replay(sides, OUT_OF_BAND)
            for side in sides:
                side.connect()
                side.sock.sendall(text("qmp_capabilities", {}))
                assert side.read() == {"return": {}}
            self.result("oob asked for", same(*answers))
            for requests in (PROTOCOL, BASE, SETTINGS):
                self.replay(sides, requests)
            with open("/dev/null", "rb") as null:
                data = text("getfd", {"fdname": "f"})
                answers = [side.replies(data, [null.fileno()])[0] for side in sides]
                self.result("getfd with a descriptor", value(*answers))
            self.replay(sides, [cmd("closefd", value, name="closefd", fdname="f")])
            self.descriptors(sides)
            self.replay(sides, OUTGOING)
            for side in sides:
                side.sock.sendall(text("quit", id="q"))
            answers = []
            for side in sides:
                message = side.read()
                while "event" in message:
                    message = side.read()
                answers.append(message)
            self.result("quit", value(*answers))
        finally:
            for side in sides:
                side.end()
        self.run_alone(OBJECTS)
        self.run_alone(INCOMING, incoming=True)
        unused = set(DIFFERENCES) - self.used
        self.result("every listed difference was tried", f"never tried: {unused}" if unused else "")
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def main():
    build = sys.argv[1]
    if shutil.which(QEMU) is None:
        print(f"1..0 # SKIP {QEMU} is not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="tern-qmp-") as directory:
        return Comparison(directory, build).run()


if __name__ == "__main__":
    sys.exit(main())
