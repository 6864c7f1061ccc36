#!/usr/bin/env python3
"""Prints reports of tinytl-train (--report) as one table: print_table.py FILE.json..."""
import json
import sys


def main(files: list[str]) -> None:
    rows = [["update", "trains", "arena", "training memory", "measured", "step", "val top-1"]]
    for file in files:
        with open(file) as stream:
            r = json.load(stream)
        rows.append([
            r["update"],
            f'{r["trainable_scalars"]:,}',
            f'{r["arena_bytes"] / 1e6:.2f} MB',
            f'{r["training_memory_bytes"] / 1e6:.2f} MB',
            f'{r["measured_peak_rss_bytes"] / 1e6:.2f} MB',
            f'{r["step_seconds_median"] * 1e3:.2f} ms',
            f'{100 * r["val_top1"]:.1f} %',
        ])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  " + "   ".join(cells))


if __name__ == "__main__":
    main(sys.argv[1:])
