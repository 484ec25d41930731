# SPDX-License-Identifier: Apache-2.0
"""The command line of tools/bench as values; wrong ones end with status 2 before anything is built."""
import argparse
import os
import re
import shlex
import shutil

CONTENTS = {
    "zero": "pages of zeros, all of them allocated",
    "sparse": "90% never written (holes of the file), 10% random, in pieces of 64 pages",
    "random": "random bytes",
    "text": "words of a made-up language, the frequent ones more frequent",
    "mixed": "near a real guest: 35% zero, 25% text, 25% pointers (objects of 64 bytes), 15% random, "
             "in runs of 16 to 256 pages",
}
UNLIMITED = 0
PUBLISHED_PAIRS = 5

EPILOG = f"""\
content, the same bytes in every run and for every program:
""" + "".join(f"  {name:8} {text}\n" for name, text in CONTENTS.items()) + f"""
what is measured:
  Two processes with RAM and nothing else, stopped guests, over TCP on loopback, all programs in turn (A B A B).
  Source RAM is a file on tmpfs (/dev/shm), mapped shared: the same file for all programs. Destination RAM is
  fresh anonymous memory. --page-size 4k takes transparent huge pages from both sides of all programs
  (prctl); thp lets all have them, for which QEMU asks by itself and tern-vmm by --huge thp. The pages of a file
  on tmpfs are as /sys/kernel/mm/transparent_hugepage/shmem_enabled says, usually 4k.
  Before each run another process touches 2.2 times the RAM (or what is free), so that nobody pays for pages that
  a virtual machine has not had yet or has given back to its host.

  time        from the command `migrate` to the event `completed` of both sides (wall clock); total-time, setup-time
              and downtime as query-migrate of the source says (the guest is stopped already: how long it would be)
  GiB/s       guest RAM divided by that wall clock
  on the wire what the interface `lo` counted: headers, acknowledgements and other traffic of the machine included
  reported    ram.transferred of query-migrate
  CPU         CPU clocks of the two processes around the migration, in seconds per GiB of guest RAM: what the kernel
              does for them is in it, starting and loading content is not
  raw limit   the slower of two: all pages of the content that are not zero, sent without a protocol over as many
              sockets from the same source memory into the same kind of memory (the faster of: recv() finds the missing
              pages, or they are asked for ahead); and reading all pages at this machine's read bandwidth (all cores,
              widest loads). The fastest of all pairs, as it is a limit. With --compression or --tls it is still this

One benchmark runs on a machine at a time; another one waits, unless it is --quick. Each program's first pair of each
content also proves that the destination's RAM is the source's. A table for publication needs {PUBLISHED_PAIRS} pairs and a
machine that does nothing else.

exit status: 0 all was measured; 1 something failed, with the logs of both processes; 2 usage
"""


def size(text):
    match = re.fullmatch(r"([0-9]+)([KMGT]?)", text.upper())
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 256M or 4G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]]


def ram_size(text):
    value = size(text)
    if value < 4 << 20 or value % (2 << 20):
        raise argparse.ArgumentTypeError(f"'{text}': at least 4M, a multiple of 2M")
    return value


def number(low, high):
    def parse(text):
        if not re.fullmatch(r"[0-9]+", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number {low}..{high}")
        return int(text)
    return parse


def contents(text):
    names = text.split(",")
    for name in names:
        if name not in CONTENTS and name != "all":
            raise argparse.ArgumentTypeError(f"no content '{name}'; there is {', '.join(CONTENTS)}, all")
    return list(CONTENTS) if "all" in names else names


def parser():
    p = argparse.ArgumentParser(
        prog="tools/bench", usage="tools/bench [OPTION]...", add_help=False, allow_abbrev=False, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures migrations between two processes of tern-vmm, and of other programs beside it, on this\n"
                    "machine, and the limit that the machine sets to any program.")
    who = p.add_argument_group("who")
    who.add_argument("--against", metavar="CMD", action="append",
                     help="also measure this QEMU; may be given several times; none: nobody (default: "
                          "qemu-system-x86_64 if there is one)")
    who.add_argument("--subject", metavar="CMD", help="measure this instead of the tern-vmm of the build directory: "
                     "a tern-vmm if its name says so, otherwise a QEMU")
    what = p.add_argument_group("what")
    what.add_argument("--content", metavar="KIND[,KIND]", type=contents, action="append", help="see below (default: all)")
    what.add_argument("--ram", metavar="SIZE", type=ram_size, help="RAM of the guest (default: 4G)")
    what.add_argument("--pairs", metavar="N", type=number(1, 1000),
                      help=f"how many times each program migrates each content (default: {PUBLISHED_PAIRS})")
    what.add_argument("--quick", action="store_true", help="256M and one pair: does it work?")
    how = p.add_argument_group("how, the same for all programs")
    how.add_argument("--channels", metavar="N", type=number(0, 255), default=4,
                     help="multifd channels; 0: no multifd (default: 4)")
    how.add_argument("--compression", choices=("none", "zlib", "zstd"), default="none", help="of multifd")
    how.add_argument("--level", metavar="N", type=number(0, 20), help="of the compression (default: each program's)")
    how.add_argument("--tls", choices=("none", "x509", "psk"), default="none", help="with keys made for this run")
    how.add_argument("--zero-page-detection", choices=("none", "legacy", "multifd"), help="(default: each program's)")
    how.add_argument("--zero-copy", action="store_true", help="capability zero-copy-send")
    how.add_argument("--max-bandwidth", metavar="SIZE", type=size, default=UNLIMITED,
                     help="bytes per second; 0: no limit (default)")
    how.add_argument("--downtime-limit", metavar="MS", type=number(1, 2000000), default=300, help="(default: 300)")
    how.add_argument("--machine-state", choices=("stopped",), default="stopped", help="of the guest: RAM is all there is")
    how.add_argument("--page-size", choices=("4k", "thp", "2M"), default="4k",
                     help="pages of anonymous RAM; 2M is thp (default: 4k)")
    how.add_argument("--prefault", choices=("none", "source", "destination", "both"), default="source",
                     help="whose RAM is mapped page by page before the clock starts; a sparse source never is: its "
                          "holes would go (default: source, as where a guest has run)")
    how.add_argument("--no-verify", action="store_true", help="do not compare the RAM of both sides")
    out = p.add_argument_group("output: a table, and")
    out.add_argument("--markdown", action="store_true", help="the table as Markdown, with what made it")
    out.add_argument("--json", metavar="FILE", help="every figure of every run")
    out.add_argument("--svg", metavar="FILE", nargs="?", const="", help="a chart (default: bench-DATE.svg beside the JSON)")
    out.add_argument("--build-dir", metavar="DIR", help="where tern is built (default: build)")
    out.add_argument("--no-build", action="store_true", help="what is in the build directory is used as it is")
    out.add_argument("-h", "--help", action="help", help="this text")
    return p


def parse(argv, root):
    """Options, with every default filled in. Ends the program with 2 when they make no sense."""
    p = parser()
    o = p.parse_args(argv)
    o.ram = o.ram or (256 << 20 if o.quick else 4 << 30)
    o.pairs = o.pairs or (1 if o.quick else PUBLISHED_PAIRS)
    o.content = list(dict.fromkeys(name for names in o.content or [list(CONTENTS)] for name in names))
    o.page_size = "thp" if o.page_size == "2M" else o.page_size
    o.build_dir = o.build_dir or os.path.join(root, "build")
    if o.against is None:
        o.against = ["qemu-system-x86_64"] if shutil.which("qemu-system-x86_64") else []
    o.against = [command for command in o.against if command != "none"]
    if o.channels == 0 and (o.compression != "none" or o.zero_copy):
        p.error("--compression and --zero-copy are multifd's: not with --channels 0")
    if o.zero_copy and (o.compression != "none" or o.tls != "none"):
        p.error("--zero-copy sends pages as they are: neither --compression nor --tls")
    if o.level is not None and o.compression == "none":
        p.error("--level of which --compression?")
    if o.level is not None and o.compression == "zlib" and o.level > 9:
        p.error("--level of zlib is 0..9")
    for command in [*o.against, *([o.subject] if o.subject else [])]:
        words = shlex.split(command)
        if not words or shutil.which(words[0]) is None:
            p.error(f"no program {command!r}")
    for path in [o.json, o.svg]:
        if path and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            p.error(f"{path}: there is no such folder")
    return o
