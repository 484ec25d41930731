# SPDX-License-Identifier: Apache-2.0
"""query-qmp-schema of tern-vmm against what clients written for QEMU look for: against a real QEMU's
schema for everything that QEMU has, and against SURFACE below for what came after QEMU 7.2.

usage: schema_test.py BUILD_DIR"""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peers
import tap

BUILD = None

# What QEMU 7.2 does not have and later ones do: (since, how a client finds it).
# "command", "command.argument", "command:member of the result", a "/" goes into a member's type.
SURFACE = {
    "query-migrationthreads": "8.0",
    "query-migrationthreads:name": "8.0",
    "query-migrationthreads:thread-id": "8.0",
    "query-migrate-parameters:avail-switchover-bandwidth": "8.2",
    "migrate-set-parameters.avail-switchover-bandwidth": "8.2",
    "query-migrate-parameters:zero-page-detection": "9.0",
    "query-migrate-parameters:vcpu-dirty-limit": "8.1",
    "migrate-set-parameters.vcpu-dirty-limit": "8.1",
    "query-migrate:dirty-limit-throttle-time-per-round": "8.1",
    "query-migrate:dirty-limit-ring-full-time": "8.1",
    "migrate-set-parameters.zero-page-detection": "9.0",
    "migrate.channels": "8.2",
    "calc-dirty-rate.calc-time-unit": "8.2",
    "query-dirty-rate.calc-time-unit": "8.2",
    "query-dirty-rate:calc-time-unit": "8.2",
    "migrate-incoming.channels": "8.2",
    "migrate-incoming.exit-on-error": "9.1",
}
# Removed from QEMU before 7.2, kept here for clients that still ask.
OLDER = {"query-events"}
# Values of enumerations that QEMU 7.2 does not have, by a command that uses them.
NEWER_VALUES = {"switchover-ack": "8.1", "dirty-limit": "8.1", "failing": "11.1",
                # 7.2 lists it as authz-listfile and cannot make one by any name.
                "authz-list-file": "later"}


class Schema:
    """The entities of query-qmp-schema, with the numbers followed."""

    def __init__(self, entities):
        self.by_name = {e["name"]: e for e in entities}
        assert len(self.by_name) == len(entities), "a name is described twice"

    def __getitem__(self, name):
        return self.by_name[name]

    def commands(self):
        return {n: e for n, e in self.by_name.items() if e["meta-type"] == "command"}

    def events(self):
        return {n: e for n, e in self.by_name.items() if e["meta-type"] == "event"}

    def members(self, name):
        """Members of an object, those of all variants of a union included."""
        entity = self[name]
        if entity["meta-type"] == "array":
            return self.members(entity["element-type"])
        if entity["meta-type"] != "object":
            return {}
        found = {m["name"]: m for m in entity["members"]}
        for variant in entity.get("variants", []):
            found.update(self.members(variant["type"]))
        return found

    def cases(self, name):
        """The variants of a union by their tag; those of other types are none."""
        return {v["case"]: v["type"] for v in self[name].get("variants", [])}

    def fixed(self, name):
        """Members of an object without those of its variants."""
        return {m["name"]: m for m in self[name].get("members", [])}

    def shape(self, name):
        """A type in words that do not depend on the numbers."""
        entity = self[name]
        meta = entity["meta-type"]
        if meta == "builtin":
            return entity["json-type"]
        if meta == "array":
            return "[" + self.shape(entity["element-type"]) + "]"
        if meta == "alternate":
            return "|".join(sorted(self.shape(m["type"]) for m in entity["members"]))
        return meta


def compare_members(ours, theirs, our_type, their_type, path, faults):
    """Everything that ours has must be in theirs, with the same shape."""
    our_cases, their_cases = ours.cases(our_type), theirs.cases(their_type)
    if our_cases and their_cases:  # members of two variants may have one name and two types
        mine, its = ours.fixed(our_type), theirs.fixed(their_type)
        for case in set(our_cases) & set(their_cases):
            compare_members(ours, theirs, our_cases[case], their_cases[case], path, faults)
            compare_mandatory(ours, theirs, our_cases[case], their_cases[case], path + case, faults)
    else:
        mine, its = ours.members(our_type), theirs.members(their_type)
    for name, member in mine.items():
        where = path + name
        if name.startswith("x-") and name not in its:
            continue  # tern's own
        if name not in its:
            if where not in SURFACE:
                faults.append(f"{where} is not in QEMU")
            continue
        if where in SURFACE:
            faults.append(f"{where} is in QEMU: take it from SURFACE")
        a, b = ours.shape(member["type"]), theirs.shape(its[name]["type"])
        if a != b and {a, b} != {"enum", "string"}:
            faults.append(f"{where} is {a}, in QEMU {b}")
            continue
        if ours[member["type"]]["meta-type"] == "enum" and b == "enum":
            strange = set(ours[member["type"]]["values"]) - set(theirs[its[name]["type"]]["values"])
            for value in strange - set(NEWER_VALUES):
                if not value.startswith("x-"):
                    faults.append(f"{where}: the value {value} is not in QEMU")
        if a in ("object", "[object]"):
            compare_members(ours, theirs, member["type"], its[name]["type"], where + "/", faults)


def compare_mandatory(ours, theirs, our_type, their_type, where, faults):
    """What QEMU insists on is insisted on here, and nothing else."""
    sides = []
    for schema, name in ((ours, our_type), (theirs, their_type)):
        members = schema.fixed(name) if schema.cases(name) else schema.members(name)
        sides.append({n for n, m in members.items() if "default" not in m})
    if sides[0] != sides[1]:
        faults.append(f"{where}: mandatory are {sides[0]}, in QEMU {sides[1]}")


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="tern-schema-")
        vmm = os.path.join(BUILD, "tools", "tern-vmm")
        with peers.Process([vmm, "--machine", "none", "--ram", "1M", "--qmp",
                            f"unix:{cls.directory.name}/t.qmp"], cls.directory.name, "t") as tern:
            cls.ours = Schema(tern.qmp("query-qmp-schema"))
            cls.command_names = {c["name"] for c in tern.qmp("query-commands")}
            cls.event_names = {e["name"] for e in tern.qmp("query-events")}
            cls.capabilities = {c["capability"] for c in tern.qmp("query-migrate-capabilities")}
            cls.parameters = set(tern.qmp("query-migrate-parameters"))
            cls.replies = {name: tern.qmp(name) for name in sorted(cls.command_names)
                           if cls.callable_alone(name)}
        cls.theirs = None
        qemu = peers.find_qemu()
        if qemu:
            with peers.Process([qemu, "-machine", "none", "-nodefaults", "-display", "none", "-S",
                                "-qmp", f"unix:{cls.directory.name}/q.qmp,server=on,wait=off"],
                               cls.directory.name, "q") as process:
                cls.theirs = Schema(process.qmp("query-qmp-schema"))

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def callable_alone(cls, name):
        arguments = cls.ours.members(cls.ours[name]["arg-type"])
        return name.startswith("query-") and not any("default" not in m for m in arguments.values())

    def test_the_schema_and_the_lists_agree(self):
        self.assertEqual(set(self.ours.commands()), self.command_names)
        self.assertEqual(set(self.ours.events()), self.event_names)
        status = self.ours.members(self.ours["migrate-set-capabilities"]["arg-type"])["capabilities"]
        entry = self.ours.members(status["type"])["capability"]
        self.assertEqual(set(self.ours[entry["type"]]["values"]), self.capabilities)
        settable = self.ours.members(self.ours["migrate-set-parameters"]["arg-type"])
        self.assertEqual(set(settable), self.parameters)

    def test_every_name_is_described(self):
        for entity in self.ours.by_name.values():
            for key in ("arg-type", "ret-type", "element-type"):
                if key in entity:
                    self.assertIn(entity[key], self.ours.by_name)
            for member in entity.get("members", []):
                if "type" in member:
                    self.assertIn(member["type"], self.ours.by_name)

    def conforms(self, value, name, path):
        entity = self.ours[name]
        meta = entity["meta-type"]
        if meta == "builtin":
            kinds = {"string": str, "int": int, "number": (int, float), "boolean": bool,
                     "null": type(None), "value": object}
            self.assertIsInstance(value, kinds[entity["json-type"]], path)
        elif meta == "array":
            self.assertIsInstance(value, list, path)
            for i, element in enumerate(value):
                self.conforms(element, entity["element-type"], f"{path}[{i}]")
        elif meta == "enum":
            self.assertIn(value, entity["values"], path)
        elif meta == "object":
            self.assertIsInstance(value, dict, path)
            known = {m["name"]: m for m in entity["members"]}
            if "tag" in entity:
                for variant in entity["variants"]:
                    if variant["case"] == value[entity["tag"]]:
                        known.update({m["name"]: m for m in self.ours[variant["type"]]["members"]})
            for key, part in value.items():
                self.assertIn(key, known, path)
                if key != "default" or part is not None:
                    self.conforms(part, known[key]["type"], f"{path}.{key}")
            for key, member in known.items():
                if "default" not in member:
                    self.assertIn(key, value, path)

    def test_every_reply_is_what_the_schema_says(self):
        self.assertGreater(len(self.replies), 8)
        for name, value in self.replies.items():
            self.conforms(value, self.ours[name]["ret-type"], name)

    def test_what_qemu_has_is_the_same_here(self):
        if self.theirs is None:
            self.skipTest("QEMU is not installed")
        faults = []
        for name, command in self.ours.commands().items():
            if name not in self.theirs.by_name:
                if name not in SURFACE and name not in OLDER:
                    faults.append(f"command {name} is not in QEMU")
                continue
            its = self.theirs[name]
            if command.get("allow-oob", False) != its.get("allow-oob", False):
                faults.append(f"{name}: allow-oob is not as in QEMU")
            compare_members(self.ours, self.theirs, command["arg-type"], its["arg-type"],
                            name + ".", faults)
            compare_members(self.ours, self.theirs, command["ret-type"], its["ret-type"],
                            name + ":", faults)
            if name not in ("migrate", "migrate-incoming"):  # uri became optional in 8.2
                compare_mandatory(self.ours, self.theirs, command["arg-type"], its["arg-type"], name,
                                  faults)
        for name, event in self.ours.events().items():
            if name not in self.theirs.by_name:
                faults.append(f"event {name} is not in QEMU")
                continue
            compare_members(self.ours, self.theirs, event["arg-type"],
                            self.theirs[name]["arg-type"], name + ".", faults)
        self.assertEqual(faults, [])

    def test_what_came_after_qemu_7_2_is_there_under_its_name(self):
        for path in SURFACE:
            command = path.split(".")[0].split(":")[0]
            self.assertIn(command, self.ours.by_name, path)
            if "." in path:
                self.assertIn(path.split(".")[1], self.ours.members(self.ours[command]["arg-type"]))
            if ":" in path:
                self.assertIn(path.split(":")[1], self.ours.members(self.ours[command]["ret-type"]))
        channel = self.ours.members(self.ours["migrate"]["arg-type"])["channels"]["type"]
        members = self.ours.members(channel)
        self.assertEqual(set(members), {"channel-type", "addr"})
        address = self.ours[members["addr"]["type"]]
        self.assertEqual(address["tag"], "transport")
        cases = {v["case"]: v["type"] for v in address["variants"]}
        self.assertEqual(set(cases), {"socket", "exec"})
        sockets = {v["case"]: self.ours.members(v["type"])
                   for v in self.ours[cases["socket"]]["variants"]}
        self.assertEqual(set(sockets), {"inet", "unix", "vsock", "fd"})
        self.assertLessEqual({"host", "port", "to", "ipv4", "ipv6"}, set(sockets["inet"]))
        self.assertLessEqual({"path", "abstract", "tight"}, set(sockets["unix"]))

    def test_what_is_offered_is_qemus_interface_and_nothing_of_it_is_missing(self):
        interface = Interface(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                           "qmp_interface.txt"))
        self.assertEqual(interface.compare(self.ours), [])


class Interface:
    """qmp_interface.txt, and its comparison with a schema."""

    def __init__(self, path):
        self.entries = {}  # name -> {"kind", "members": {name: (type, optional, engine)}, ...}
        entry = None
        with open(path, encoding="utf-8") as file:
            for line in file:
                words = line.split("#")[0].split()
                if not words:
                    continue
                if not line.startswith(" "):
                    entry = {"kind": words[0], "members": {}, "cases": {}, "words": {},
                             "returns": "q_empty", "boxed": None, "oob": "oob" in words[2:]}
                    assert words[1] not in self.entries, words[1]
                    self.entries[words[1]] = entry
                else:
                    self.read_line(entry, words)

    def read_line(self, entry, words):
        engine = next((w[1:] for w in words if w.startswith("@")), None)
        plain = [w for w in words if not w.startswith("@")]
        if entry["kind"] == "enum":
            entry["words"].update({w: engine for w in plain})
        elif words[0] in ("returns", "boxed"):
            entry[words[0]] = words[1]
        elif words[0] == "like":
            entry["members"] = self.entries[words[1]]["members"]
        elif words[0].endswith(":"):
            entry["cases"][words[0][:-1]] = (words[1], engine)
        elif words[0].startswith("@"):
            entry["members"].update({w: (None, True, engine) for w in plain})
        else:
            entry["members"][plain[0].rstrip("?")] = (plain[1], plain[0].endswith("?"), engine)

    def compare(self, schema):
        self.schema, self.faults, self.done = schema, [], set()
        for kind, offered in (("command", schema.commands()), ("event", schema.events())):
            wanted = {n for n, e in self.entries.items() if e["kind"] == kind}
            self.same(kind + "s", set(offered), wanted)
            for name in wanted & set(offered):
                entry = self.entries[name]
                if kind == "command" and offered[name].get("allow-oob", False) != entry["oob"]:
                    self.faults.append(f"{name}: allow-oob")
                if entry["boxed"]:
                    self.type(offered[name]["arg-type"], entry["boxed"], name)
                else:
                    self.members(schema[offered[name]["arg-type"]], entry, name)
                if kind == "command":
                    self.type(offered[name]["ret-type"], entry["returns"], name + " returns")
        return self.faults

    def same(self, where, offered, wanted):
        for name in sorted(offered - wanted):
            if not name.startswith("x-"):
                self.faults.append(f"{where}: {name} is offered and not in the interface")
        for name in sorted(wanted - offered):
            self.faults.append(f"{where}: {name} is missing")

    def type(self, ours, wanted, where):
        if (ours, wanted) in self.done:
            return
        self.done.add((ours, wanted))
        entity = self.schema[ours]
        meta = entity["meta-type"]
        if wanted.startswith("["):
            if meta != "array":
                self.faults.append(f"{where}: {meta} instead of {wanted}")
            else:
                self.type(entity["element-type"], wanted[1:-1], where)
        elif wanted in ("str", "int", "bool", "number"):
            json_type = {"str": "string", "bool": "boolean"}.get(wanted, wanted)
            if entity.get("json-type") != json_type:
                self.faults.append(f"{where}: {entity} instead of {wanted}")
        elif wanted == "enum":
            if meta != "enum":
                self.faults.append(f"{where}: {meta} instead of an enumeration")
        elif wanted == "q_empty":
            if meta != "object" or entity["members"]:
                self.faults.append(f"{where}: {entity} instead of the empty object")
        elif wanted not in self.entries:
            pass  # introspection's own types
        elif self.entries[wanted]["kind"] == "enum":
            words = self.entries[wanted]["words"]
            self.same(f"{where} ({wanted})", set(entity.get("values", [])),
                      {w for w, engine in words.items() if engine is None})
        else:
            self.members(entity, self.entries[wanted], f"{where} ({wanted})")

    def members(self, entity, entry, where):
        ours = {m["name"]: m for m in entity.get("members", [])}
        wanted = {n: m for n, m in entry["members"].items() if m[2] is None}
        self.same(where, set(ours), set(wanted))
        for name in set(ours) & set(wanted):
            kind, optional, _ = wanted[name]
            if optional != ("default" in ours[name]):
                self.faults.append(f"{where}.{name}: optional or not")
            self.type(ours[name]["type"], kind, f"{where}.{name}")
        cases = {v["case"]: v["type"] for v in entity.get("variants", [])}
        present = {n for n, (_, engine) in entry["cases"].items() if engine is None}
        self.same(where + " cases", set(cases), present)
        for name in set(cases) & present:
            self.type(cases[name], entry["cases"][name][0], f"{where} {name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(SchemaTest))
