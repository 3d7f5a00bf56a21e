# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""Plots as SVG, by hand: a bar for each system of a case, and lines where something grows. Logarithmic, as
the systems lie powers of ten apart; percentages are not."""
import math
from html import escape

from runner.results import OURS, higher_is_better, number

TITLES = {
    "roundtrip_hot": "An empty task there and back",
    "submit_throughput": "Submit and get of many empty tasks",
    "map_chunk1": "map of empty tasks, each sent by itself",
    "map_200k_ints": "map of 200,000 integers",
    "efficiency_2us": "Cores kept busy by tasks of 2 us",
    "efficiency_20us": "Cores kept busy by tasks of 20 us",
    "efficiency_200us": "Cores kept busy by tasks of 200 us",
    "argument_256MiB": "256 MiB as an argument",
    "result_256MiB": "256 MiB as a result",
    "start_2": "Start 2 workers, a task each, stop",
    "start_64": "Start 64 workers, a task each, stop",
    "recover": "From a crash until the replacement has served a task",
    "memory_64": "Memory of a worker's own, 64 workers",
}
FAMILIES = {
    "argument": ("Cost of a task as its argument grows", "argument", {
        "8B": 8, "1KiB": 2**10, "16KiB": 2**14, "128KiB": 2**17, "1MiB": 2**20, "16MiB": 2**24, "128MiB": 2**27,
        "1GiB": 2**30}),
    "workers": ("Cost of an empty task as the workers grow", "workers", {str(2**i): 2**i for i in range(7)}),
    "queue": ("Cost of an empty task as the queue grows", "tasks in the queue", {str(10**i): 10**i for i in range(7)}),
}
COLOURS = ["#d1495b", "#edae49", "#00798c", "#6a4c93", "#5f7367", "#a44a3f", "#8d99ae", "#3d405b"]
OUR_COLOUR = "#1d4ed8"


def colour_of(system, among):
    if system == OURS:
        return OUR_COLOUR
    if system.startswith("raw"):
        return "#9ca3af"
    others = [one for one in among if one != OURS and not one.startswith("raw")]
    return COLOURS[others.index(system) % len(COLOURS)]


def text(x, y, words, anchor="start", weight="normal", size=12, colour="#111827"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(words)}</text>')


def page(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def bars(case, rows):
    unit = rows[0]["unit"]
    better = higher_is_better(case, unit)
    rows = sorted(rows, key=lambda row: row["median"], reverse=better)
    linear = unit == "%"
    low = 0 if linear else math.floor(math.log10(min(row["median"] for row in rows)) - .3)
    high = 100 if linear else math.log10(max(row["median"] for row in rows)) + .05
    left, right, top, step = 210, 620, 48, 24

    def place(value):
        value = value if linear else math.log10(max(value, 10.0**low))
        return left + (right - left) * max(0, min(1, (value - low) / (high - low)))

    note = f"{unit}, {'more' if better else 'less'} is better" + ("" if linear else "; logarithmic")
    parts = [text(12, 22, TITLES[case], weight="bold", size=15), text(12, 40, note, size=11, colour="#6b7280")]
    for i, row in enumerate(rows):
        y = top + i * step
        mine = row["system"] == OURS
        parts.append(text(left - 8, y + 15, row["system"], "end", "bold" if mine else "normal"))
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{place(row["median"]) - left:.1f}" height="16" '
                     f'fill="{OUR_COLOUR if mine else "#9ca3af" if row["system"].startswith("raw") else "#cbd5e1"}"/>')
        parts.append(f'<line x1="{place(row["min"]):.1f}" x2="{place(row["max"]):.1f}" y1="{y + 11}" y2="{y + 11}" '
                     f'stroke="#374151"/>')
        parts.append(text(right + 10, y + 15, f"{number(row['median'])} {unit}", weight="bold" if mine else "normal"))
    return page(740, top + len(rows) * step + 14, parts)


def apart(places, gap, most):
    """Ascending places, moved so that neighbours are so far from each other and the last is not beyond `most`."""
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    places[-1] = min(places[-1], most)
    for i in range(len(places) - 1, 0, -1):
        places[i - 1] = min(places[i - 1], places[i] - gap)
    return places


def lines(family, series):
    """series: system -> [(x, y)]"""
    title, axis, names = FAMILIES[family]
    left, right, top, bottom = 70, 540, 48, 330
    xs = [math.log10(x) for points in series.values() for x, _ in points]
    ys = [math.log10(max(y, 1e-3)) for points in series.values() for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys))
    y_high = max(y_high, y_low + 1)

    def place(x, y):
        return (left + (right - left) * (math.log10(x) - x_low) / max(x_high - x_low, 1e-9),
                bottom - (bottom - top) * (math.log10(max(y, 1e-3)) - y_low) / (y_high - y_low))

    parts = [text(12, 22, title, weight="bold", size=15),
             text(12, 40, "us per task, less is better; both axes logarithmic", size=11, colour="#6b7280")]
    for power in range(y_low, y_high + 1):
        _, y = place(10**x_low, 10.0**power)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(text(left - 6, y + 4, number(10.0**power), "end", size=11, colour="#6b7280"))
    for name, x in names.items():
        if x_low - .01 <= math.log10(x) <= x_high + .01:
            parts.append(text(place(x, 1)[0], bottom + 18, name, "middle", size=11, colour="#6b7280"))
    parts.append(text((left + right) / 2, bottom + 36, axis, "middle", size=11, colour="#6b7280"))
    labels = sorted(((place(*points[-1])[1], system) for system, points in series.items()))
    for (_, system), label_y in zip(labels, apart([y for y, _ in labels], 15, bottom)):
        colour = colour_of(system, list(series))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in series[system]))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                     f'stroke-width="{3 if system == OURS else 1.5}"/>')
        parts.append(text(right + 10, label_y + 4, system, weight="bold" if system == OURS else "normal", colour=colour))
    return page(740, bottom + 48, parts)


def draw(rows, folder):
    """Writes a plot for each case and family that was measured with a peer beside it; says which."""
    written = []
    for case in TITLES:
        of_case = [row for row in rows if row["case"] == case and row["median"] > 0]
        if len(of_case) > 1:
            written.append(folder / f"{case}.svg")
            written[-1].write_text(bars(case, of_case))
    for family, (_, _, names) in FAMILIES.items():
        series = {}
        for row in rows:
            kind, _, name = row["case"].partition("_")
            if kind == family and name in names and row["unit"] == "us" and row["median"] > 0:
                series.setdefault(row["system"], []).append((names[name], row["median"]))
        series = {system: sorted(points) for system, points in series.items() if len(points) > 1}
        if series:
            written.append(folder / f"{family}.svg")
            written[-1].write_text(lines(family, series))
    return written
