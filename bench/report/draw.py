"""The curves as SVG, by gnuplot: time of invalidate and update, the latter with the least and the greatest of the readers, and
the speed of Himeno, each against the number of nodes."""
import shutil
import subprocess

SETTINGS = """
set terminal svg size 760,520 background rgb 'white' font 'sans,13'
set output '{path}'
set title "{title}"
set xlabel 'nodes'
set ylabel '{unit}'
set xtics {ticks}
set xrange [{low}:{high}]
set key below left maxcols 3
set grid ytics
{scale}
"""
POLICIES = ("scope", "bound", "sequential")


def missing():
    """Why no figure can be drawn; empty when they can."""
    return "" if shutil.which("gnuplot") else "gnuplot is missing: apt-get install gnuplot-nox"


def plot(path, title, unit, lines, logarithmic=False, bars=False):
    """lines: name -> {nodes: y, or (y, least, greatest)}."""
    lines = {name: points for name, points in lines.items() if points}
    counts = sorted({count for points in lines.values() for count in points})
    if not counts:
        return
    scale = "set logscale y" if logarithmic else "set yrange [0:*]"
    script = SETTINGS.format(path=path, title=title, unit=unit, ticks="(" + ", ".join(map(str, counts)) + ")", low=min(counts) - 0.4,
                             high=max(counts) + 0.4, scale=scale)
    curves = []
    for index, (name, points) in enumerate(lines.items()):
        rows = "\n".join(f"{count} " + " ".join(f"{value:g}" for value in (points[count] if bars else (points[count],)))
                         for count in sorted(points))
        script += f"$data{index} << EOD\n{rows}\nEOD\n"
        style = "yerrorlines" if bars else "linespoints"
        curves.append(f"$data{index} with {style} lw 2 title '{name}'")
    script += "plot " + ", ".join(curves) + "\n"
    subprocess.run(["gnuplot"], input=script, text=True, check=True, capture_output=True)


def draw_latency(runs, directory, size=4096):
    """Two figures a policy, each with a line for every transport. Returns their paths."""
    paths = []
    for policy in POLICIES:
        invalidate, update = {}, {}
        for run in runs:
            for figure in run["figures"]:
                if figure["policy"] != policy or figure["bytes"] != size:
                    continue
                invalidate.setdefault(run["transport"], {})[run["nodes"]] = figure["invalidate_us"]
                update.setdefault(run["transport"], {})[run["nodes"]] = (figure["update_us"], figure["update_min_us"],
                                                                        figure["update_max_us"])
        for what, lines, bars in (("invalidate", invalidate, False), ("update", update, True)):
            if lines:
                paths.append(directory / f"{what}-{policy}.svg")
                plot(paths[-1], f"{what}, {size} bytes, {policy} policy", "µs", lines, logarithmic=True, bars=bars)
    return paths


def draw_himeno(curves, size, directory):
    path = directory / f"himeno-{size}.svg"
    plot(path, f"Himeno {size}", "MFLOPS", {curve["name"]: curve["mflops"] for curve in curves})
    return [path]
