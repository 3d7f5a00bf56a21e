#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""assemble.py PAGES XML: the documents of the repository as the pages of its site, in the folder PAGES.

A document becomes a page, and the README becomes two. Links between documents lead to pages. A file of another kind to
which a document links, such as an example, becomes a page that shows it. The list of the headers is made of their
opening paragraphs and of XML, Doxygen's folder about them.
"""
import os
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "docs/site"
# Sections of the README that a reader needs to begin. The others are the first page.
START = ["Try it", "Link it", "The operations", "Processes that talk to each other", "Several machines",
         "Serializable functions and values"]
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".f": "fortran", ".md": "markdown", ".py": "python"}
TEMPLATE = ROOT / "docs/decisions/0000-template.md"  # its links are examples
FENCED = re.compile(r"(^```.*?^```$)", re.S | re.M)
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")


def documents():
    """Each document, with the name of its page."""
    names = {ROOT / name: name.lower() for name in
             ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")}
    names |= {ROOT / "README.md": "index.md", ROOT / "bench/README.md": "bench.md"}
    for path in (ROOT / "docs").rglob("*.md"):
        names[path] = path.relative_to(ROOT / "docs").as_posix().replace("README", "index")
    del names[TEMPLATE]
    return names


def divided(readme):
    """The README as the first page and the page of the beginner."""
    opening, *sections = re.split(r"^(?=## )", readme, flags=re.M)
    titles = [section[3:].split("\n", 1)[0] for section in sections]
    missing = [title for title in START if title not in titles]
    if missing:
        sys.exit(f"assemble.py: README.md has no section {missing[0]!r}")
    first = [section for title, section in zip(titles, sections) if title not in START]
    start = [section for title, section in zip(titles, sections) if title in START]
    return opening + "".join(first), "# Start\n\n" + "".join(start)


class Pages:
    def __init__(self, folder):
        self.folder = folder
        self.names = documents()

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def name_of(self, target):
        """The page, or the picture, that stands for a file of the repository."""
        if target.suffix == ".svg":
            return target.relative_to(ROOT / "docs").as_posix()
        if target not in self.names:
            self.names[target] = f"files/{target.relative_to(ROOT).as_posix()}.md"
            self.show(target)
        return self.names[target]

    def show(self, target):
        """A page for a file or a folder that is no document."""
        title = target.relative_to(ROOT).as_posix()
        if target.is_dir():
            text = "".join(f"- [{file.name}]({file.name})\n" for file in sorted(target.iterdir()) if file.is_file())
            self.write(self.names[target], self.page(f"# {title}\n\n{text}", target / "list", self.names[target]))
        elif target.suffix == ".md" and target != TEMPLATE:
            self.write(self.names[target], self.page(target.read_text(encoding="utf-8"), target, self.names[target]))
        else:
            language = LANGUAGES.get(target.suffix, "text")
            text = target.read_text(encoding="utf-8")
            self.write(self.names[target], f"# {title}\n\n````{language}\n{text}````\n")

    def page(self, text, source, name):
        """The text of a document for the page `name`: its links lead to pages, and inner lists are indented by four."""
        def lead(match):
            file, mark, anchor = match[1].partition("#")
            if not file or re.match(r"\w+:", file):
                return match[1]
            target = (source.parent / file).resolve()
            if not target.exists():
                sys.exit(f"assemble.py: {source.relative_to(ROOT)} has a link that leads nowhere: {match[1]}")
            return os.path.relpath(self.name_of(target), pathlib.PurePosixPath(name).parent) + mark + anchor

        pieces = FENCED.split(text)
        for number in range(0, len(pieces), 2):
            pieces[number] = re.sub(r"^  (?=- )", "    ", LINK.sub(lead, pieces[number]), flags=re.M)
        return "".join(pieces)

    def assemble(self):
        for source, name in list(self.names.items()):
            text = source.read_text(encoding="utf-8")
            if name == "index.md":
                text, start = divided(text)
                self.write("start.md", self.page(start, source, "start.md"))
            self.write(name, self.page(text, source, name))
        shutil.copytree(ROOT / "docs/plots", self.folder / "plots")
        for name in ("site.css", "diagrams.js"):
            shutil.copy(SITE / name, self.folder / name)


def literal(text):
    """Text in which nothing is markup."""
    return re.sub(r"[<>*_`|\\]", lambda match: f"&#{ord(match[0])};", " ".join(text.split()))


def opening(header):
    """The paragraph with which a header says its purpose."""
    lines = header.read_text(encoding="utf-8").split("#pragma once", 1)[1].lstrip().split("\n")
    words = []
    for line in lines:
        if not line.startswith("// "):
            break
        words.append(line[3:].strip())
    return literal(re.sub(r":$", ".", " ".join(words)))  # code may follow


def brief(one):
    return literal("".join(one.find("briefdescription").itertext()))


def reference(xml):
    """The page of the headers: for each its purpose and its public names, with links into Doxygen's pages."""
    names = {}  # of each header
    for compound in ElementTree.parse(xml / "index.xml").getroot():
        if compound.get("kind") not in ("class", "struct", "concept", "namespace"):
            continue
        one = ElementTree.parse(xml / f"{compound.get('refid')}.xml").getroot().find("compounddef")
        if compound.get("kind") == "namespace":
            for member in one.iter("memberdef"):
                if member.get("prot", "public") == "public":
                    file, anchor = member.find("location").get("file"), member.get("id").rpartition("_1")[2]
                    prefix = compound.findtext("name").removeprefix("procpool").removeprefix("::")
                    name = (prefix + "::" if prefix else "") + member.findtext("name")
                    names.setdefault(file, {}).setdefault(
                        name, (f"{compound.get('refid')}.html#{anchor}", brief(member)))
        elif one.get("prot", "public") == "public":
            name = compound.findtext("name").removeprefix("procpool::")
            file = one.find("location").get("file")
            if "iterator" not in name.lower():
                names.setdefault(file, {}).setdefault(
                    name, (f"{compound.get('refid')}.html", brief(one)))
    text = ["# Headers\n", "The [reference](api/index.html) has all public names with their comments. This page "
            "lists them by header. `<procpool.hpp>` includes most of the headers.\n"]
    for header in sorted((ROOT / "include/procpool").glob("*.hpp")):
        text.append(f"## {header.name}\n\n{opening(header)}\n")
        found = next((found for file, found in names.items() if file.endswith(f"procpool/{header.name}")), {})
        if found:
            text.append("| name | |\n|---|---|")
            for name, (page, said) in found.items():
                text.append(f"| [`{name}`](api/{page}) | {said} |")
            text.append("")
    return "\n".join(text)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, xml = map(pathlib.Path, sys.argv[1:])
    pages = Pages(folder)
    pages.assemble()
    pages.write("reference.md", reference(xml))


if __name__ == "__main__":
    main()
