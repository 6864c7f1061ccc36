"""The picture that budget_curve.py draws: time against training memory, a panel for each model."""

import html
import math


def si_bytes(count):
    if count >= 99.95e6:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e6:.1f} MB" if count >= 9.995e6 else f"{count / 1e6:.2f} MB"


WIDTH, HEIGHT = 1200, 486
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 56, 24, 138, 416, 34
# The colours of tinytl/cli/plan_style.h; text in them is darker.
COLOURS = {"full": ("#e69029", "#a85f0a"), "bias": ("#1f8a70", "#14614e"),
           "lite": ("#3a6ea5", "#2c5580"), "last": ("#806ba0", "#5d4a7d")}
OTHER_COLOUR = ("#57606a", "#3d444d")
STYLE = """<style>
text{font:12px "Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;fill:#24292f}
.title{font-size:21px;font-weight:600}
.name{font-size:14px;font-weight:600}
.muted{fill:#656d76}
.small{font-size:11px}
.strong{font-weight:600}
.end{text-anchor:end}
.middle{text-anchor:middle}
.grid{stroke:#e6e8eb;fill:none}
.one{stroke:#9aa1a9;fill:none}
.axis{stroke:#9aa1a9;fill:none}
.halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
</style>
"""
SHAPES = [("open", "whole batch at once, no lever"), ("dot", "micro-batches"),
          ("square", "and regions in pieces"), ("diamond", "and values recomputed")]


def shape_of(point):
    if point["values_recomputed"] > 0:
        return "diamond"
    if point["regions_in_pieces"] > 0:
        return "square"
    return "open" if point["levers"] == "none" else "dot"


def mark(shape, x, y, colour):
    if shape == "open":
        return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#fff" stroke="{colour}" '
                'stroke-width="2"/>\n')
    if shape == "dot":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2" fill="{colour}" stroke="#fff"/>\n'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return (f'<rect x="{x - 3.9:.1f}" y="{y - 3.9:.1f}" width="7.8" height="7.8" '
            f'fill="{colour}" stroke="#fff"{turn}/>\n')


def triangle(x, y, colour):
    return (f'<path d="M{x - 5:.1f} {y + 4:.1f}h10l-5 -9z" fill="#fff" stroke="{colour}" '
            'stroke-width="1.8"/>\n')


def words(x, y, classes, text):
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{html.escape(text)}</text>\n'


def line(points, attributes):
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" {attributes}/>\n'


def one_two_five(low, high):
    decade = 10 ** math.floor(math.log10(low))
    ticks = []
    while decade <= high:
        ticks += [decade * m for m in (1, 2, 5) if low <= decade * m <= high]
        decade *= 10
    return ticks


class Panel:
    """One model: training memory across (logarithmic), time upwards."""

    def __init__(self, all_series, left, right, top_ratio, low_ratio):
        self.series, self.left, self.right = all_series, left, right
        self.top_ratio, self.low_ratio = top_ratio, low_ratio
        memory = [p["training_memory_bytes"] for s in all_series
                  for p in [s["whole"], *s["points"]]]
        memory += [s["torch"]["training_memory_bytes"] for s in all_series if s.get("torch")]
        self.low, self.high = min(memory) / 1.25, max(memory) * 1.3

    def x(self, memory):
        share = math.log(memory / self.low) / math.log(self.high / self.low)
        return self.left + (self.right - self.left) * share

    def y(self, ratio):
        share = (ratio - self.low_ratio) / (self.top_ratio - self.low_ratio)
        return BOTTOM - (BOTTOM - TOP) * share

    def svg(self):
        out = words(self.left, TOP - 16, "name", self.series[0]["model"])
        out += self.grid()
        for series in self.series:
            out += self.curve(series)
        for i, series in enumerate(s for s in self.series if s.get("torch")):
            out += self.torch(series, i)
        return out

    def grid(self):
        out = ""
        step = 0.1 if self.top_ratio - self.low_ratio < 0.9 else 0.25
        if self.top_ratio - self.low_ratio > 2:
            step = 0.5
        ratio = math.ceil(self.low_ratio / step - 1e-9) * step
        while ratio <= self.top_ratio + 1e-9:
            kind = "one" if abs(ratio - 1) < 1e-9 else "grid"
            out += line([(self.left, self.y(ratio)), (self.right, self.y(ratio))],
                        f'class="{kind}"')
            out += words(self.left - 8, self.y(ratio) + 4, "muted end", f"{ratio:.2f}".rstrip("0")
                         .rstrip(".") + "×")
            ratio += step
        out += line([(self.left, BOTTOM), (self.right, BOTTOM)], 'class="axis"')
        for memory in one_two_five(self.low, self.high):
            x = self.x(memory)
            out += line([(x, BOTTOM), (x, BOTTOM + 4)], 'class="axis"')
            out += words(x, BOTTOM + 18, "muted middle", f"{memory / 1e6:g}")
        return out + words(self.right, BOTTOM + 36, "muted end", "training memory, MB")

    def curve(self, series):
        colour, ink = COLOURS.get(series["update"], OTHER_COLOUR)
        points = [series["whole"], *series["points"]]

        def path(key):
            return [(self.x(p["training_memory_bytes"]), self.y(p[key])) for p in points]

        out = line(path("predicted_ratio"), f'fill="none" stroke="{colour}" stroke-width="1.5" '
                   'stroke-dasharray="5 4" opacity=".55"')
        out += line(path("ratio"), f'fill="none" stroke="{colour}" stroke-width="2.2" '
                    'stroke-linejoin="round"')
        for point, (x, y) in zip(points, path("ratio")):
            out += mark(shape_of(point), x, y, colour)
        return out + self.label(series, path("ratio"), ink)

    @staticmethod
    def highest(path, left, right):
        """The smallest y of a curve, given from right to left, between two x."""
        ys = [y for x, y in path if left <= x <= right]
        for (x1, y1), (x0, y0) in zip(path, path[1:]):
            ys += [y0 + (y1 - y0) * (x - x0) / (x1 - x0) for x in (left, right) if x0 < x <= x1]
        return min(ys, default=BOTTOM)

    def label(self, series, path, ink):
        """What the smallest plan buys, beside its point."""
        first, last = series["whole"], series["points"][-1]
        times = first["training_memory_bytes"] / last["training_memory_bytes"]
        x = path[-1][0] + 11
        y = min(path[-1][1], self.highest(path, x, x + 95) - 30)
        return (f'<text class="strong halo" style="fill:{ink}" x="{x:.1f}" y="{y - 6:.1f}">'
                f"{series['update']} update</text>\n" +
                words(x, y + 8, "small halo", f"{times:.1f}× less memory") +
                words(x, y + 21, "small halo", f"{last['ratio']:.2f}× the time"))

    def torch(self, series, place):
        """Where it lies beyond the top, an arrow says so."""
        colour, _ = COLOURS.get(series["update"], OTHER_COLOUR)
        torch = series["torch"]
        ratio = torch["step_seconds_median"] / series["whole"]["step_seconds"]
        x, beyond = self.x(torch["training_memory_bytes"]), ratio > self.top_ratio
        y = TOP + 6 if beyond else self.y(ratio)
        out = triangle(x, y, colour)
        text_y = y + 22 + 30 * place if beyond else y - 24
        end = min(x + 5, self.right)
        out += words(end, text_y, "small end halo", f"PyTorch {series['update']}")
        return out + words(end, text_y + 13, "small muted end halo",
                           f"{si_bytes(torch['training_memory_bytes'])}, {ratio:.1f}×" +
                           (" ↑" if beyond else ""))


def legend(all_series):
    seen = {shape_of(p) for s in all_series for p in [s["whole"], *s["points"]]}
    out, x = "", LEFT
    for shape, text in SHAPES:
        if shape in seen:
            out += mark(shape, x + 5, 92, "#57606a") + words(x + 16, 96, "muted", text)
            x += 40 + 6.1 * len(text)
    out += line([(x, 92), (x + 26, 92)], 'stroke="#57606a" stroke-width="2.2"')
    out += words(x + 32, 96, "muted", "measured")
    x += 108
    out += line([(x, 92), (x + 26, 92)],
                'stroke="#57606a" stroke-width="1.5" stroke-dasharray="5 4" opacity=".6"')
    out += words(x + 32, 96, "muted", "predicted before the first step")
    if not any(s.get("torch") for s in all_series):
        return out
    return out + triangle(x + 222, 92, "#57606a") + words(x + 234, 96, "muted", "PyTorch")


def picture(all_series, batch):
    """SVG text. `all_series`: what budget_curve.py measured, or its --json."""
    models = list(dict.fromkeys(s["model"] for s in all_series))
    ratios = [p[key] for s in all_series for p in [s["whole"], *s["points"]]
              for key in ("ratio", "predicted_ratio")]
    top = math.ceil((max(ratios) + 0.22) * 10) / 10
    low = math.floor((min(ratios) - 0.05) * 10) / 10
    pitch = (WIDTH - LEFT - RIGHT + BETWEEN + 26) / len(models)
    panels = ""
    for i, model in enumerate(models):
        left = LEFT + i * pitch
        panels += Panel([s for s in all_series if s["model"] == model], left,
                        left + pitch - BETWEEN - 26, top, low).svg()
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}">\n{STYLE}'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' +
            words(LEFT, 38, "title", "What a smaller memory budget costs in time") +
            words(LEFT, 62, "muted",
                  f"Time of a training step of {batch} samples, relative to the whole batch at "
                  "once. Every plan computes the same update; only memory and time differ.") +
            legend(all_series) + panels + "</svg>\n")
