# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/bench that need no guest: figures, text, chart, options, keys.

usage: bench_parts_test.py BUILD_DIR
"""
import contextlib
import io
import os
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(HERE), os.path.join(ROOT, "tools", "benchmark")]
import tap
import bench_chart
import bench_figures
import bench_guest
import bench_keys
import bench_machine
import bench_main
import bench_options
import bench_report
import bench_run

BUILD = None


def run(program, content, pair, speed):
    info = {"total-time": 100, "setup-time": 1, "downtime": 2, "ram": {"transferred": 1000, "dirty-sync-count": 2}}
    figures = bench_run.figures_of(info, 4 << 30, 4 / speed, 1 << 30, 2.0, 4.0)
    return {"program": program, "content": content, "pair": pair} | figures


def document(names=("tern 1", "QEMU <7> & co"), verified=True):
    runs, summary = [], []
    for content in ("zero", "mixed"):
        here = [run(name, content, pair, 1.0 + i + pair / 10) for pair in (1, 2, 3) for i, name in enumerate(names)]
        limits = [{"ram-gib-s": 4.0 + pair, "bound": "sockets"} for pair in (1, 2, 3)]
        runs += here
        summary.append(bench_figures.content_summary(content, list(names), here, limits))
    for each in runs:
        each["verified"] = verified and each["pair"] == 1
    settings = {"ram": 4 << 30, "pairs": 3, "channels": 4, "compression": "zstd", "level": 1, "tls": "psk",
                "zero-page-detection": None, "zero-copy": False, "max-bandwidth": 0, "page-size": "4k", "prefault": "source"}
    machine = {"date": "2026-01-02", "cpu": "A CPU", "cores": 2, "memory-bytes": 8 << 30, "kernel": "6.1", "virtual": True,
               "thp": "madvise", "shmem-thp": "never", "alone": True,
               "cores-used": {"others": 0.5, "host": 0.01}}
    return {"machine": machine, "command": "tools/bench --x '<&>'", "settings": settings, "summary": summary, "runs": runs,
            "programs": {name: {"command": ["prog", name], "version": "v"} for name in names}}


class Figures(unittest.TestCase):
    def test_the_median_is_the_middle_and_the_spread_the_ends(self):
        self.assertEqual(bench_figures.spread([3, 1, 2]), {"median": 2, "min": 1, "max": 3})
        self.assertEqual(bench_figures.spread([4, 1]), {"median": 2.5, "min": 1, "max": 4})

    def test_a_run_is_divided_by_its_ram_and_its_wall_clock(self):
        figures = run("a", "zero", 1, 2.0)
        self.assertEqual(figures["wall-s"], 2.0)
        self.assertEqual(figures["ram-gib-s"], 2.0)
        self.assertEqual(figures["wire-gib-s"], 0.5)
        self.assertEqual((figures["cpu-source-s-per-gib"], figures["cpu-destination-s-per-gib"]), (0.5, 1.0))
        self.assertEqual(figures["cpu-s-per-gib"], 1.5)

    def test_the_subject_is_compared_with_each_other_program(self):
        summary = document()["summary"][0]
        self.assertEqual(list(summary["subject-times"]), ["QEMU <7> & co"])
        self.assertAlmostEqual(summary["subject-times"]["QEMU <7> & co"], 1.2 / 2.2)

    def test_numbers_are_written_with_three_figures(self):
        self.assertEqual([bench_figures.rounded(v) for v in (0, 0.01234, 0.5, 1.234, 12.34, 1234.5)],
                         ["0", "0.012", "0.50", "1.23", "12.3", "1234"])
        self.assertEqual([bench_figures.binary_size(v) for v in (0, 1023, 1536, 4 << 30)], ["0 B", "1023 B", "1.5 KiB", "4 GiB"])

    def test_loopback_is_found_among_the_interfaces(self):
        text = " eth0: 5 1 0 0\n    lo: 1234 56 0 0 0 0 0 0 1234 56\n"
        self.assertEqual(bench_run.loopback_bytes(text), 1234)
        self.assertEqual(bench_run.loopback_bytes(" eth0: 5 1\n"), 0)


class Report(unittest.TestCase):
    def test_the_table_names_machine_settings_pages_and_doubts(self):
        text = "\n".join(bench_report.table(document(verified=False)))
        for words in ("A CPU, 2 cores", "multifd with 4 channels, zstd level 1, TLS (psk)", "4 KiB pages",
                      "the source's pages mapped beforehand", "3 pairs only", "was not compared",
                      "other processes of this machine used 0.50 of 2 cores", "raw limit 7.00 GiB/s"):
            self.assertIn(words, text)

    def test_markdown_has_a_row_for_each_program_of_each_content(self):
        lines = list(bench_report.markdown(document()))
        rows = [line for line in lines if line.startswith("|")]
        self.assertEqual(len(rows), 2 + 4)
        self.assertEqual({row.count("|") for row in rows}, {rows[0].count("|")})
        self.assertTrue(any("Made by `tools/bench --x" in line for line in lines))

    def test_other_pages_than_asked_for_are_said(self):
        it = document()
        it["runs"][0] |= {"destination-resident-bytes": 100, "destination-huge-bytes": 50}
        self.assertTrue(any("50% of the destination's RAM was in huge pages" in note for note in bench_report.notes(it)))


class Neighbours(unittest.TestCase):
    def test_what_this_process_uses_is_not_others(self):
        cores = bench_machine.Neighbours().cores()
        self.assertEqual(sorted(cores), ["host", "others"])
        self.assertTrue(all(0 <= used <= (os.cpu_count() or 1) * 2 for used in cores.values()), cores)


class Chart(unittest.TestCase):
    def test_it_is_xml_with_a_bar_for_each_figure(self):
        root = ElementTree.fromstring(bench_chart.chart(document()).encode())
        space = "{http://www.w3.org/2000/svg}"
        bars = [e for e in root.iter(space + "rect") if e.get("fill") != "#ffffff"]
        self.assertEqual(len(bars), 4)
        width, height = float(root.get("width")), float(root.get("height"))
        for bar in bars:
            self.assertLessEqual(float(bar.get("x")) + float(bar.get("width")), width)
            self.assertLessEqual(float(bar.get("y")) + float(bar.get("height")), height)
        self.assertIn("QEMU <7> & co", [e.text for e in root.iter(space + "text")])

    def test_an_axis_ends_behind_the_largest_in_round_steps(self):
        self.assertEqual(bench_chart.nice_scale(3.9), (4.0, 0.5))
        for value in (0.003, 0.7, 1, 9.99, 31.4, 1234):
            end, step = bench_chart.nice_scale(value)
            self.assertGreaterEqual(end, value)
            self.assertLessEqual(round(end / step), 8)
            self.assertGreaterEqual(round(end / step), 3)

    def test_long_lines_are_broken_between_words(self):
        self.assertEqual(bench_chart.wrapped("aa bb cccccc d", 5), ["aa bb", "cccccc", "d"])


class Options(unittest.TestCase):
    def parse(self, *words):
        return bench_options.parse(list(words), ROOT)

    def test_quick_is_small_unless_a_size_is_given(self):
        self.assertEqual((self.parse("--quick").ram, self.parse("--quick").pairs), (256 << 20, 1))
        self.assertEqual(self.parse("--quick", "--ram", "64M", "--pairs", "2").ram, 64 << 20)
        self.assertEqual((self.parse().ram, self.parse().pairs), (4 << 30, 5))

    def test_contents_are_separated_by_commas_or_repeated(self):
        self.assertEqual(self.parse("--content", "zero,mixed", "--content", "zero").content, ["zero", "mixed"])
        self.assertEqual(self.parse().content, list(bench_options.CONTENTS))

    def test_2m_pages_are_transparent_ones(self):
        self.assertEqual(self.parse("--page-size", "2M").page_size, "thp")

    def test_what_makes_no_sense_ends_with_2(self):
        for words in (["--ram", "1X"], ["--ram", "3M"], ["--pairs", "0"], ["--content", "gold"], ["--level", "3"],
                      ["--channels", "0", "--compression", "zstd"], ["--channels", "256"], ["--zero-copy", "--tls", "psk"],
                      ["--compression", "zlib", "--level", "10"], ["--against", "/no/such/qemu"], ["extra"], ["--cont", "zero"],
                      ["--json", "/no/such/folder/x"]):
            with self.subTest(words=words), contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as end:
                self.parse(*words)
            self.assertEqual(end.exception.code, 2)

    def test_the_chart_is_beside_the_json(self):
        options = self.parse("--svg", "--json", "/tmp/x.json")
        self.assertEqual(bench_main.svg_path(options, "2026-01-02"), "/tmp/bench-2026-01-02.svg")


class Turns(unittest.TestCase):
    def test_one_benchmark_measures_at_a_time(self):
        bench_main.Turn.NAME = f"\0tern-bench-test-{os.getpid()}"
        with bench_main.Turn(wait=True) as first, bench_main.Turn(wait=False) as second:
            self.assertEqual((first.alone, second.alone), (True, False))
        with bench_main.Turn(wait=False) as third:
            self.assertTrue(third.alone)


class Sides(unittest.TestCase):
    """What the processes of both programs are told."""

    def words(self, is_tern, role, content="/dev/shm/x/mixed", **settings):
        program = bench_guest.Program.__new__(bench_guest.Program)
        program.argv, program.is_tern = ["p"], is_tern
        options = bench_options.parse([f"--{k.replace('_', '-')}={v}" for k, v in settings.items()], ROOT)
        return " ".join(program.command_line(role, "/d", 1 << 30, content, options))

    def test_source_and_destination_have_the_same_kind_of_memory_in_both(self):
        self.assertIn("file:/dev/shm/x/mixed,share=on --prefault", self.words(True, "source"))
        self.assertIn("mem-path=/dev/shm/x/mixed,share=on,id=m,size=1073741824,prealloc=on", self.words(False, "source"))
        self.assertNotIn("prefault", self.words(True, "destination"))
        self.assertNotIn("prealloc", self.words(False, "destination"))
        self.assertIn("memory-backend-ram", self.words(False, "destination", prefault="both"))
        self.assertIn("prealloc=on", self.words(False, "destination", prefault="both"))
        self.assertIn("--huge thp --prefault", self.words(True, "destination", prefault="both", page_size="thp"))

    def test_the_holes_of_a_sparse_source_stay(self):
        for is_tern in (True, False):
            words = self.words(is_tern, "source", "/dev/shm/x/sparse", prefault="both")
            self.assertNotIn("prefault", words)
            self.assertNotIn("prealloc", words)


class Content(unittest.TestCase):
    def test_it_is_the_same_each_time_and_has_the_shares_that_are_stated(self):
        memory = bench_run.Memory(os.path.join(BUILD, "tools", "tern-bench-memory"))
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "ram")
            for content in bench_options.CONTENTS:
                made = memory("fill", path, 16 << 20, content)
                with open(path, "rb") as file:
                    first = file.read()
                self.assertEqual(memory("fill", path, 16 << 20, content), made)
                with open(path, "rb") as file:
                    self.assertTrue(first == file.read(), content)
                self.assertEqual(sum(n for kind, n in made.items() if kind != "pages"), made["pages"])
                pages = {first[i:i + 4096] for i in range(0, len(first), 4096)}
                self.assertEqual(len(pages) == 1, content == "zero", "no two pages are the same but zeros")
                if content == "sparse":
                    self.assertAlmostEqual(made["hole"] / made["pages"], 0.9, delta=0.02)
                    self.assertLess(os.stat(path).st_blocks * 512, 3 << 20)
                if content == "mixed":  # small RAM has few runs
                    self.assertTrue(all(made[kind] > 0 for kind in ("zero", "text", "pointers", "random")), made)

    def test_a_wrong_call_says_how_to_call_it(self):
        memory = bench_run.Memory(os.path.join(BUILD, "tools", "tern-bench-memory"))
        for words in (["fill", "/x", "4096", "gold"], ["warm", "x"], ["raw"], []):
            with self.assertRaises(bench_guest.RunError) as wrong:
                memory(*words)
            self.assertIn("usage:", str(wrong.exception))


class Keys(unittest.TestCase):
    def test_a_shared_key_is_named_at_the_client_only(self):
        with tempfile.TemporaryDirectory() as directory:
            keys = bench_keys.Keys("psk", directory)
            self.assertEqual(os.stat(os.path.join(directory, "keys.psk")).st_mode & 0o777, 0o600)
            self.assertEqual(keys.object("t", "client")["username"], "qemu")
            self.assertNotIn("username", keys.object("t", "server"))

    def test_certificates_are_where_qemu_looks_for_them(self):
        if shutil.which("openssl") is None:
            self.skipTest("no openssl on this machine")
        with tempfile.TemporaryDirectory() as directory:
            bench_keys.Keys("x509", directory)
            for name in ("ca-cert", "server-cert", "server-key", "client-cert", "client-key"):
                self.assertTrue(os.path.exists(os.path.join(directory, name + ".pem")), name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Figures, Report, Neighbours, Chart, Options, Turns, Sides, Content, Keys))
