# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""What was measured: the summary of each case and system, as JSON and as a table."""
import json
import statistics

OURS = "procpool"
HIGHER_IS_BETTER = ("tasks/s", "%", "GB/s")
LOWER_THOUGH_PERCENT = ("idle_cpu",)


def higher_is_better(case, unit):
    return unit in HIGHER_IS_BETTER and case not in LOWER_THOUGH_PERCENT


class Results:
    def __init__(self):
        self.values = {}  # (case, system) -> [unit, values], in the order of the first value

    def add(self, case, system, unit, values):
        self.values.setdefault((case, system), [unit, []])[1].extend(values)

    def rows(self):
        return [{"case": case, "system": system, "unit": unit, "min": min(values),
                 "median": statistics.median(values), "max": max(values), "n": len(values)}
                for (case, system), (unit, values) in self.values.items()]

    def write(self, path):
        path.write_text("[\n" + ",\n".join("  " + json.dumps(row) for row in self.rows()) + "\n]\n")


def number(value):
    """Three or four digits that matter, and k, M, G for large ones."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            value /= {"G": 1e9, "M": 1e6, "k": 1e3}[suffix]
            return f"{value:.3g}{suffix}" if abs(value) < 1000 else f"{value:.0f}{suffix}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def table(rows):
    """Lines of cells, the heading first. The ratio is the peer's median by ours."""
    ours = {row["case"]: row["median"] for row in rows if row["system"] == OURS}
    lines = [("case", "system", "unit", "median", "spread", "n", "peer/ours")]
    for case in dict.fromkeys(row["case"] for row in rows):
        for row in (row for row in rows if row["case"] == case):
            mine = ours.get(case)
            ratio = "" if row["system"] == OURS or not mine else number(row["median"] / mine)
            lines.append((case, row["system"], row["unit"], number(row["median"]),
                          f"{number(row['min'])}..{number(row['max'])}", str(row["n"]), ratio))
    return lines


def as_text(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text, last = [], None
    for line in lines:
        cells = [cell.ljust(width) if i < 3 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        if line[0] == last:
            cells[0] = " " * widths[0]
        last = line[0]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def as_markdown(lines):
    text = ["| " + " | ".join(lines[0]) + " |", "|---|---|---|--:|--:|--:|--:|"]
    last = None
    for line in lines[1:]:
        text.append("| " + " | ".join((("" if line[0] == last else f"`{line[0]}`"), *line[1:])) + " |")
        last = line[0]
    return "\n".join(text)
