#!/usr/bin/env python3
"""Tables and plots of docs/performance.md, from the rows of bench/results and nothing else.

    bench/peers/report.py               # writes them; plots need matplotlib (requirements.txt)
    bench/peers/report.py --no-plots    # the tables alone
    bench/peers/report.py --check       # says whether the page is what the rows make of it

A table stands between <!-- rows: NAME --> and <!-- end rows -->.
"""
import argparse
import pathlib
import re
import sys

import plot
import rows as results
import tables
from cases import MODELS

MARKED = re.compile(r"(<!-- rows: (\S+) -->\n)(.*?)(<!-- end rows -->)", re.S)


def parts(page, rows):
    """{name: lines} of all that the page may ask for: tables, and links to plots."""
    return tables.tables(rows) | {f"plot-{m}": plot.link(page, m, rows) for m in MODELS}


def filled(text, by_name):
    """The page with its tables as the rows make them."""
    def replace(found):
        if found[2] not in by_name:
            sys.exit(f"no table \"{found[2]}\"; there are {', '.join(by_name)}")
        return found[1] + "\n".join(by_name[found[2]]) + "\n" + found[4]
    return MARKED.sub(replace, text)


def stale(page, rows):
    """Names of what the rows make otherwise."""
    by_name, text = parts(page, rows), page.read_text()
    out = [name for _, name, body, _ in MARKED.findall(text)
           if name not in by_name or body != "\n".join(by_name[name]) + "\n"]
    if not MARKED.search(text):
        out.append("no table at all")
    return out + [str(plot.path(page, m)) for m in MODELS if not plot.is_current(page, m, rows)]


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--page", type=pathlib.Path, default=results.ROOT / "docs/performance.md")
    p.add_argument("--results", type=pathlib.Path, default=results.RESULTS)
    p.add_argument("--check", action="store_true")
    p.add_argument("--no-plots", action="store_true")
    args = p.parse_args()
    rows = [r for file in sorted(args.results.glob("*.jsonl")) for r in results.load(file)]

    if args.check:
        for name in (names := stale(args.page, rows)):
            print(f"{args.page}: {name} is not what the rows make: run bench/peers/report.py")
        sys.exit(1 if names else 0)
    args.page.write_text(filled(args.page.read_text(), parts(args.page, rows)))
    for model in MODELS:
        data = plot.figures(rows, model)
        if not args.no_plots and data and not plot.is_current(args.page, model, rows):
            plot.draw(plot.path(args.page, model), model, data)


if __name__ == "__main__":
    main()
