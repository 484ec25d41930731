# SPDX-License-Identifier: Apache-2.0
"""query-qmp-schema of tern-vmm against what clients written for QEMU look for: against a real QEMU's
schema for everything that QEMU has, and against SURFACE below for what came after QEMU 7.2.

usage: schema_test.py BUILD_DIR

With TERN_QMP_SCHEMA=FILE, a JSON description of QEMU's migration interface ({"commands": {NAME:
{"args": [{"name", "type", "optional"}]}}, "structs": …, "enums": …}), everything offered is looked up
there, too."""
import json
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
    "migrate.channels": "8.2",
    "migrate-incoming.channels": "8.2",
    "migrate-incoming.exit-on-error": "9.1",
}
# Removed from QEMU before 7.2, kept here for clients that still ask.
OLDER = {"query-events"}
# Values of enumerations that QEMU 7.2 does not have, by a command that uses them.
NEWER_VALUES = {"switchover-ack": "8.1", "failing": "11.1"}


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
            self.same_mandatory(name, command, its, faults)
        for name, event in self.ours.events().items():
            if name not in self.theirs.by_name:
                faults.append(f"event {name} is not in QEMU")
                continue
            compare_members(self.ours, self.theirs, event["arg-type"],
                            self.theirs[name]["arg-type"], name + ".", faults)
        self.assertEqual(faults, [])

    def same_mandatory(self, name, command, its, faults):
        """What QEMU insists on is insisted on here, and nothing else; uri became optional in 8.2."""
        mine = {n for n, m in self.ours.members(command["arg-type"]).items() if "default" not in m}
        others = {n for n, m in self.theirs.members(its["arg-type"]).items() if "default" not in m}
        if mine ^ others and name not in ("migrate", "migrate-incoming"):
            faults.append(f"{name}: mandatory are {mine}, in QEMU {others}")

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

    def test_everything_offered_is_in_the_described_interface(self):
        path = os.environ.get("TERN_QMP_SCHEMA")
        if not path:
            self.skipTest("TERN_QMP_SCHEMA names no description of QEMU's interface")
        with open(path, encoding="utf-8") as file:
            described = json.load(file)
        faults = check_description(self.ours, described)
        self.assertEqual(faults, [])


def check_description(schema, described):
    structs = {**described["structs"], **described["external"]["structs"]}
    enums = {**described["enums"], **described["external"]["enums"]}
    later = {(entry.get("owner"), entry["name"]) for entry in described["later"]["added"]}
    commands = {**described["commands"], **described["support"]["commands"]}
    faults = []
    plain = {"str": "string", "bool": "boolean", "number": "number"}
    for integer in ("int", "int64", "uint8", "uint16", "uint32", "uint64", "size"):
        plain[integer] = "int"

    def check(name, wanted, path):
        if wanted in plain:
            # query-target: an enumeration in QEMU itself, str in descriptions.
            if schema.shape(name) not in (plain[wanted], "enum"):
                faults.append(f"{path} is {schema.shape(name)}, not {wanted}")
        elif wanted.startswith("["):
            if schema[name]["meta-type"] != "array":
                faults.append(f"{path} is no array")
            else:
                check(schema[name]["element-type"], wanted[1:-1], path + "[]")
        elif wanted in enums:
            words = {v["name"] for v in enums[wanted]["values"]}
            for value in schema[name].get("values", []):
                if value not in words and (wanted, value) not in later and value not in NEWER_VALUES:
                    faults.append(f"{path}: {value} is no {wanted}")
        elif wanted in structs:
            members = {m["name"]: m for m in structs[wanted]["members"]}
            for member in schema[name]["members"]:
                known = members.get(member["name"])
                if member["name"].startswith("x-") and known is None:
                    continue
                if known is None:
                    if (wanted, member["name"]) not in later:
                        faults.append(f"{path}.{member['name']} is not in {wanted}")
                    continue
                check(member["type"], known["type"], f"{path}.{member['name']}")
                if known["optional"] != ("default" in member):
                    faults.append(f"{path}.{member['name']}: optional or not")

    for name, command in schema.commands().items():
        if name in OLDER or name == "pmemsave":
            continue  # not of the migration interface
        if name not in commands:
            faults.append(f"command {name}")
            continue
        arguments = commands[name].get("args", [])
        if "boxed" in commands[name]:
            check(command["arg-type"], commands[name]["boxed"], name)
        else:
            known = {a["name"]: a for a in arguments}
            for member in schema[command["arg-type"]]["members"]:
                if member["name"] in known:
                    check(member["type"], known[member["name"]]["type"], f"{name}.{member['name']}")
                elif (name, member["name"]) not in later:
                    faults.append(f"{name} has no argument {member['name']}")
        if commands[name]["returns"]:
            check(command["ret-type"], commands[name]["returns"], name + ":")
        if command.get("allow-oob", False) != commands[name].get("allow_oob", False):
            faults.append(f"{name}: allow-oob")
    for name in schema.events():
        if name not in described["events"] and name not in described["support"]["events"]:
            faults.append(f"event {name}")
    return faults


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(SchemaTest))
