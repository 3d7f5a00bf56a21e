#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_prose.py PATH...: the form of the prose in Markdown documents, and their links to files and headings.

Fails for a line of prose over 100 columns, for a sentence of more than 30 words, for a sentence that begins with What,
Who, Whoever, Whatever or Whichever, and for a link that leads nowhere. Sentences of 26 to 30 words are reported and
pass. Tables may be wider than 100 columns. Their cells are checked as sentences. Code is not checked. A folder
stands for the documents in it.
"""
import pathlib
import re
import sys

COLUMNS = 100
WORDS, MOST_WORDS = 25, 30

FENCE = re.compile(r"\s*(```|~~~)")
ITEM = re.compile(r"\s*([-*+]|\d+\.)\s+")
BAD_BEGIN = re.compile(r"(What|Who|Whoever|Whatever|Whichever)\b", re.I)
# An end of a sentence: its mark, then perhaps quotes, brackets or emphasis, then a blank. Or the dot of a list in a line.
END = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_`\[]*[A-Z`\d\[])| · ")


def plain(text):
    """Without markup: a code span is one word, a link is its text."""
    text = re.sub(r"(`+).+?\1", "`x`", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<!--.*?-->", "", text)


def blocks(lines):
    """Pieces of prose, each with the number of its first line: paragraphs, list items, headings, cells."""
    begin, gathered, fenced, listed = 0, [], False, False

    def flush():
        nonlocal gathered
        if gathered:
            yield begin, " ".join(gathered)
        gathered = []

    for number, line in enumerate(lines, 1):
        if FENCE.match(line):
            yield from flush()
            fenced = not fenced
        elif fenced:
            pass
        elif not line.strip():
            yield from flush()
        elif not gathered and line.startswith("    ") and not listed:
            pass  # an indented block of code
        elif line.startswith("|"):
            yield from flush()
            for cell in re.split(r"(?<!\\)\|", re.sub(r"(`+).+?\1", "`x`", line.strip().strip("|"))):
                # A cell that has only code, such as a list of tests, has no sentence.
                if re.search(r"\w", re.sub(r"`x`", "", cell)):
                    yield number, cell.strip()
        else:
            if line.startswith("#") or ITEM.match(line):
                yield from flush()
            listed = bool(ITEM.match(line)) or (listed and line.startswith(" "))
            if not gathered:
                begin = number
            item = ITEM.match(line)
            gathered.append(line[item.end() if item else 0:].strip().lstrip("# "))
            if line.startswith("#"):
                yield from flush()
    yield from flush()


def anchors(path):
    """The names that its headings have in links."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken_links(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if re.match(r"https?:", link) or "NNNN" in link:  # the template of a decision record
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{path}: leads nowhere: {link}"


def check(path):
    lines = path.read_text().split("\n")
    failures, reports, fenced = list(broken_links(path)), [], False
    for number, line in enumerate(lines, 1):
        if FENCE.match(line):
            fenced = not fenced
        elif len(line) > COLUMNS and not (fenced or line.startswith(("|", "    ", "!["))):
            failures.append(f"{path}:{number}: {len(line)} columns")
    for number, text in blocks(lines):
        for sentence in END.split(plain(text)):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            say = f"{path}:{number}: {len(words)} words: {sentence[:70]}"
            if len(words) > MOST_WORDS:
                failures.append(say)
            elif len(words) > WORDS:
                reports.append(say)
            if BAD_BEGIN.match(sentence.lstrip("\"'(*_ ")):
                failures.append(f"{path}:{number}: begins with a pronoun: {sentence[:70]}")
    return failures, reports


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    paths = [path for name in map(pathlib.Path, sys.argv[1:])
             for path in (sorted(name.rglob("*.md")) if name.is_dir() else [name])]
    failures = []
    for path in paths:
        found, reports = check(path)
        failures += found
        for line in reports:
            print(f"report: {line}")
    for line in failures:
        print(line)
    print(f"{len(failures)} failures in {len(paths)} documents")
    return 1 if failures or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
