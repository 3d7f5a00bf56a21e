#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_links.py SITE: every link and every picture in the pages of a folder leads to a file of it, and to an anchor.

Nothing is fetched, and nothing may have to be: a page that brings a script, style, font or picture from another server
fails. Links of readers to other servers are counted and not followed.
"""
import html.parser
import pathlib
import sys
import urllib.parse

LINKS = {"a": "href", "area": "href", "link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        link = attributes.get(LINKS.get(tag))
        if link:
            # The address of a page that is meant for others is no part of the page.
            loads = tag not in ("a", "area") and attributes.get("rel") != "canonical"
            self.links.append((link, loads))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in sorted(root.rglob("*.html"))}
    count, elsewhere, failures = 0, 0, []
    for path, page in pages.items():
        for link, loads in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in ("javascript", "mailto", "data"):
                continue
            if parts.scheme or parts.netloc:
                elsewhere += 1
                if loads:
                    failures.append(f"{path.relative_to(root)}: comes from another server: {link}")
                continue
            count += 1
            name = urllib.parse.unquote(parts.path)
            # 404.html is served for any address, so its links begin at the root.
            base = root / name.lstrip("/") if name.startswith("/") else path.parent / name
            target = (base if name else path).resolve()
            if target.is_dir():
                target /= "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                failures.append(f"{path.relative_to(root)}: leads nowhere: {link}")
            elif target in pages and anchor not in pages[target].anchors and not anchor.startswith("__"):
                failures.append(f"{path.relative_to(root)}: no such place in that page: {link}")
    for line in failures:
        print(line)
    print(f"{len(failures)} failures in {count} links of {len(pages)} pages ({elsewhere} lead elsewhere)")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
