"""Draws loss.csv as loss.svg: the training loss over rows seen, on a log scale.

    python3 plot_loss.py
"""

import csv
import math
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 320, 60, 40, 20
SMOOTH = 9  # points


def main():
    with open(HERE / "loss.csv", encoding="ascii") as f:
        points = [(int(r["rows"]), float(r["loss"])) for r in csv.DictReader(f)]
    last = points[-1][0]
    low = math.floor(math.log10(min(p[1] for p in points)))
    high = math.ceil(math.log10(max(p[1] for p in points)))

    def x(rows):
        return LEFT + (WIDTH - LEFT - 20) * rows / last

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(loss)) / (high - low)

    def line(values, color, width):
        path = " ".join(f"{x(r):.1f},{y(v):.1f}" for r, v in values)
        return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>'

    smooth = []
    for i in range(len(points)):
        window = points[max(0, i - SMOOTH + 1) : i + 1]
        smooth.append((points[i][0], math.exp(sum(math.log(v) for _, v in window) / len(window))))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif"'
           ' font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for power in range(low, high + 1):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(10**power):.1f}" y2="{y(10**power):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(10**power) + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    step = 200000
    for rows in range(0, last + 1, step):
        out.append(f'<text x="{x(rows):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{rows // 1000}k</text>')
    out.append(line(points, "#9bd", 0.7))
    out.append(line(smooth, "#036", 2))
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">training rows</text>'
               f'<text x="{LEFT + 8}" y="{TOP + 12}">loss, nats per answer token</text></svg>')
    (HERE / "loss.svg").write_text("\n".join(out) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
