#!/usr/bin/env python3
"""charts.py RESULTS.jsonl FOLDER - the charts of docs/scheduling.md, by gnuplot, from lines that
bench_schedule printed.  The same lines give the same bytes."""
import json
import subprocess
import sys

# Colours that stay apart for colour-blind eyes (Okabe and Ito 2008); ours is the dark blue.
COLOURS = {
    "sized": "#0072B2", "pull": "#E69F00", "weighted": "#009E73", "least_tokens": "#56B4E9",
    "load (a reconstruction)": "#CC79A7", "round_robin": "#999999", "bound": "#000000"}
ORDER = ["sized", "pull", "weighted", "least_tokens", "load (a reconstruction)", "round_robin"]
NAMES = {"sized": "nightmill", "load (a reconstruction)": "load (reconstruction)",
         "least_tokens": "least tokens", "round_robin": "round robin"}


def read(path):
    figures, courses = [], []
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = json.loads(line)
            if line.get("bench") != "schedule":
                continue
            (courses if "course" in line else figures).append(line)
    return figures, courses


def plot(folder, name, width, height, script):
    head = f"""set terminal svg size {width},{height} dynamic font 'sans-serif,13' background '#ffffff' name 'nightmill'
set encoding utf8
set border 3 lc rgb '#555555'
set tics nomirror out tc rgb '#333333'
set grid y lc rgb '#dddddd' lw 1
set key noenhanced
"""
    svg = subprocess.run(["gnuplot"], input=head + script, text=True, check=True, stdout=subprocess.PIPE).stdout
    with open(f"{folder}/{name}.svg", "w", encoding="utf-8") as f:
        f.writelines(line.rstrip() + "\n" for line in svg.splitlines() if "Produced by GNUPLOT" not in line)
    print(f"charts: {folder}/{name}.svg")


def blocks(*tables):
    """Data blocks of a script: $T0, $T1, ..."""
    out = ""
    for i, table in enumerate(tables):
        rows = "\n".join(" ".join(str(v) for v in row) for row in table)
        out += f"$T{i} << EOD\n{rows}\nEOD\n"
    return out


def shares_of(figures, name):
    """Of a scenario: policy -> per cent of the fluid bound."""
    shares = {}
    for f in figures:
        if f["figure"] != name + ": sized" or not f["limit"]:
            continue
        ours = 100 * f["value"] / f["limit"]
        if f["against"] is None:
            shares["sized"] = ours
        elif f["ratio"]:
            shares[f["against"]] = ours / f["ratio"]
    return shares


def mixed(figures, folder):
    names = [n for n in dict.fromkeys(f["figure"].rsplit(":", 1)[0] for f in figures)
             if len(shares_of(figures, n)) == len(ORDER)]
    if not names:
        return
    rows = []
    for n in names:
        shares = shares_of(figures, n)
        cards, trace = n.rsplit(", ", 1)
        rows.append(['"%s\\n%s"' % (cards, trace)] + ["%.2f" % shares[p] for p in ORDER])
    bars = ", ".join(
        f"$T0 using {i + 2}:xtic(1) title '{NAMES.get(p, p)}' lc rgb '{COLOURS[p]}'"
        for i, p in enumerate(ORDER))
    plot(folder, "mixed", 900, 400, blocks(rows) + f"""
set style data histograms
set style histogram clustered gap 1.5
set style fill solid noborder
set yrange [0:105]
set ytics 20
set bmargin 4
set ylabel 'rows/s, % of the fluid bound'
set key outside top center horizontal maxrows 1 width -1 samplen 1
set arrow from graph 0, first 100 to graph 1, first 100 nohead lc rgb '#000000' dt 2
plot {bars}
""")


def leases(figures, folder):
    rows, limit = [], 0
    for f in figures:
        if not f["figure"].startswith("20 instances: "):
            continue
        what = f["figure"].split(": ", 1)[1]
        ours = "left" in what
        label = "left to nightmill" if ours else what.replace(" jobs a lease", "")
        rows.append(['"%s"' % label, f["value"], "0x0072B2" if ours else "0x999999"])
        limit = f["limit"] or limit
    if not rows:
        return
    plot(folder, "lease", 620, 340, blocks(rows) + f"""
set style fill solid noborder
set boxwidth 0.6
set yrange [0:*]
set ylabel 'seconds until 150,000 rows are done'
set xlabel 'jobs a lease'
set key outside top center horizontal samplen 2
plot $T0 using 0:2:3:xtic(1) with boxes lc rgb variable notitle, \\
  $T0 using 0:2:(sprintf('%.0f', $2)) with labels offset 0,0.7 tc rgb '#333333' notitle, \\
  {limit} with lines lc rgb '#000000' dt 2 title 'fluid bound'
""")


def curves(courses, prefix):
    return {c["course"].split(": ", 1)[1]: c for c in courses
            if c["course"].startswith(prefix + ": ") or c["course"].startswith(prefix + ",")}


def points(course, by=1, end=None):
    return [(course["step_s"] * i * by, v) for i, v in enumerate(course["values"])
            if end is None or i <= end]


def tokens(courses, folder):
    found = curves(courses, "tokens over time")
    if not found:
        return
    names = [p for p in ORDER if p in found]
    tables, lines = [], []
    for i, p in enumerate(names):
        values = found[p]["values"]
        end = max(k for k, v in enumerate(values) if v > 0) + 1
        tables.append([((t - found[p]["step_s"] / 2) / 60, v / 1000)
                       for t, v in points(found[p], 1, end)][1:])
        lines.append(f"$T{i} using 1:2 with lines lw {4 if p == 'sized' else 2} lc rgb "
                     f"'{COLOURS[p]}' title '{NAMES.get(p, p)}'")
    plot(folder, "tokens", 760, 340, blocks(*tables) + f"""
set yrange [0:*]
set xlabel 'minutes'
set ylabel 'thousand tokens/s, of rows as they end'
set key outside right center samplen 2
plot {", ".join(reversed(lines))}
""")


def last(courses, folder):
    found = curves(courses, "the last rows")
    if not found:
        return
    looks = {"pull": ("pull", COLOURS["pull"], 2),
             "sized, nothing special at the end": ("sized leases alone", COLOURS["weighted"], 2),
             "sized, without second runs": ("no second runs", COLOURS["least_tokens"], 2),
             "sized": ("nightmill", COLOURS["sized"], 4)}
    tables, lines = [], []
    for name, (title, colour, width) in looks.items():
        if name not in found:
            continue
        lines.append(f"$T{len(tables)} using 1:2 with steps lw {width} lc rgb '{colour}' title '{title}'")
        tables.append(points(found[name], 1, 45))
    plot(folder, "tail", 760, 340, blocks(*tables) + f"""
set yrange [0:*]
set xlabel 'seconds since 95 % of the rows were done'
set ylabel 'rows left'
set key top right samplen 2
plot {", ".join(lines)}
""")


def drain(courses, folder):
    found = curves(courses, "one instance lost a minute")
    if not found:
        return
    tables = [[(t / 60, v / 1000) for t, v in points(found[n])] for n in ("fluid bound", "sized")]
    plot(folder, "drain", 760, 340, blocks(*tables) + """
set yrange [0:*]
set xlabel 'minutes'
set ylabel 'thousand rows done'
set key top left samplen 2
set arrow from 15, graph 0 to 15, graph 1 nohead lc rgb '#999999' dt 3
set label "the first of 20 instances ends,\\nthen one a minute" at 15.4, graph 0.14 tc rgb '#555555'
plot $T1 with lines lw 5 lc rgb '#0072B2' title 'nightmill', \\
  $T0 with lines lw 1.5 dt 2 lc rgb '#000000' title 'fluid bound'
""")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    figures, courses = read(sys.argv[1])
    for make in (mixed, leases):
        make(figures, sys.argv[2])
    for make in (tokens, last, drain):
        make(courses, sys.argv[2])


if __name__ == "__main__":
    main()
