# SPDX-License-Identifier: Apache-2.0
"""The results as one SVG: for each content a bar for each program (the median), a whisker (smallest to largest)
and the raw limit as a line. Each content has a scale of its own: memory is read ten times faster than sent."""
from xml.sax.saxutils import escape

from bench_figures import rounded, with_spread
from bench_machine import sentence
from bench_options import CONTENTS
from bench_report import limit_of, limit_words, memory_sentence, notes, settings_sentence

# Okabe and Ito: told apart by colour-blind readers, and in grey by their lightness.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
LIMIT = "#000000"
WIDTH, LEFT, RIGHT = 960, 150, 250
BAR, GAP, PANEL_HEAD, PANEL_FOOT = 22, 6, 42, 34
FONT = "font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\""


def nice_scale(largest):
    """(end, step) of an axis from 0 that has four to eight steps of 1, 2 or 5."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if largest <= step * factor * 8:
                end = step * factor
                while end < largest:
                    end += step * factor
                return end, step * factor
        step *= 10


def _text(x, y, text, size=12, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'


def _line(x1, y1, x2, y2, extra):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {extra}/>'


def wrapped(text, width):
    """Lines of at most `width` characters, a longer word alone."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def panel(summary, top):
    """SVG of one content and the y where the next begins."""
    programs = summary["programs"]
    limit = limit_of(summary)
    largest = max([limit, *(figures["ram-gib-s"]["max"] for figures in programs.values())])
    end, step = nice_scale(largest * 1.02)
    scale = (WIDTH - LEFT - RIGHT) / end
    bars_top = top + PANEL_HEAD
    bottom = bars_top + len(programs) * (BAR + GAP) + GAP
    out = [_text(16, top + 18, summary["content"], 15, extra='font-weight="bold"'),
           _text(LEFT, top + 18, limit_words(summary), 11),
           _text(LEFT, top + 32, CONTENTS[summary["content"]], 10, extra='fill="#404040"')]
    for i in range(round(end / step) + 1):
        x = LEFT + i * step * scale
        out.append(_line(x, bars_top, x, bottom, 'stroke="#d0d0d0"'))
        out.append(_text(x, bottom + 14, f"{i * step:g}", 10, "middle", 'fill="#404040"'))
    for i, (name, figures) in enumerate(programs.items()):
        figure, y = figures["ram-gib-s"], bars_top + GAP + i * (BAR + GAP)
        middle = y + BAR / 2
        out.append(_text(LEFT - 8, middle + 4, name, 12, "end"))
        out.append(f'<rect x="{LEFT}" y="{y}" width="{max(figure["median"] * scale, 1):.1f}" height="{BAR}" '
                   f'fill="{COLOURS[i % len(COLOURS)]}"/>')
        if figure["min"] < figure["max"]:
            low, high = LEFT + figure["min"] * scale, LEFT + figure["max"] * scale
            whisker = 'stroke="#303030" stroke-width="1.5"'
            out.append(_line(low, middle, high, middle, whisker))
            out += [_line(x, middle - 5, x, middle + 5, whisker) for x in (low, high)]
        words = f"{with_spread(figure)} GiB/s, {rounded(figures['cpu-s-per-gib']['median'])} CPU s/GiB"
        out.append(_text(WIDTH - RIGHT + 10, middle + 4, words, 11))
    x = LEFT + limit * scale
    out.append(_line(x, bars_top - 4, x, bottom, f'stroke="{LIMIT}" stroke-width="2" stroke-dasharray="6 3"'))
    return out, bottom + PANEL_FOOT


def chart(document):
    """The whole SVG as text."""
    heads = [(f"Migration on loopback: {settings_sentence(document['settings'])}", 14, 108),
             (sentence(document["machine"]), 11, 160), (document["command"], 11, 145),
             (memory_sentence(document["settings"], document["machine"]), 11, 160)]
    body, y = [], 12
    for text, size, width in heads:
        for line in wrapped(text, width):
            y += size + 6
            body.append(_text(16, y, line, size, extra='font-weight="bold"' if size > 12 else ""))
    y += 18
    pairs = document["settings"]["pairs"]
    body.append(_text(16, y, f"GiB of guest RAM per second, median of {pairs}; whiskers: smallest and largest; dashed: what "
                             "this machine does without a protocol; each content has its own scale", 11,
                      extra='fill="#404040"'))
    y += 10
    for summary in document["summary"]:
        lines, y = panel(summary, y)
        body += lines
    for note in notes(document):
        for line in wrapped(f"note: {note}", 160):
            body.append(_text(16, y + 4, line, 11, extra='fill="#404040"'))
            y += 16
    height = y + 8
    title = f"Migration throughput, {sentence(document['machine'])}"
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" {FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *body, "</svg>", ""])
