"""The report as Markdown."""
from .floors import PATTERNS

WORDS = {"stretch": "stretch", "reached": "reached", "missed": "**missed**"}


def number(value):
    if abs(value) >= 10000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def goal(entry, which):
    if entry[which] is None:
        return ""
    sign = "≥" if entry["at_least"] else "≤"
    return f"{sign} {entry[which]:g}" if entry[which] else "0"


def set_aside(entry):
    if not entry["set_aside"]:
        return ""
    return f"{entry['set_aside']} of {len(entry['samples'])} ({number(entry['with_them'])} with them)"


def rows_table(entries):
    lines = ["| figure | measured | beside | ratio | reach | stretch | | set aside |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for entry in entries:
        goals = f"{goal(entry, 'reach')} | {goal(entry, 'stretch')}"
        if "not_run" in entry:
            lines.append(f"| {entry['name']} | not run: {entry['not_run']} | | | {goals} | | |")
            continue
        if "failed" in entry:
            lines.append(f"| {entry['name']} | **failed**: {entry['failed']} | | | {goals} | | |")
            continue
        beside = f"{number(entry['beside_measured'])} ({entry['beside']})" if "ratio" in entry else ""
        ratio = f"{entry['ratio']:.3g}" if "ratio" in entry else ""
        lines.append(f"| {entry['name']} | {number(entry['measured'])} {entry['unit']} | {beside} | {ratio} | {goals} "
                     f"| {WORDS[entry['verdict']] if 'verdict' in entry else ''} | {set_aside(entry)} |")
    return "\n".join(lines) + "\n"


def summary(entries):
    """One line: how many goals were met, and how many samples set aside."""
    counts = {word: sum(entry.get("verdict") == word for entry in entries) for word in WORDS}
    samples = sum(len(entry.get("samples", ())) for entry in entries)
    disturbed = sum(entry.get("set_aside", 0) for entry in entries)
    absent = sum("not_run" in entry or "failed" in entry for entry in entries)
    return (f"{counts['stretch']} goals stretched, {counts['reached']} reached, {counts['missed']} missed; {absent} rows without a figure. "
            f"{disturbed} of {samples} samples set aside, for the time that other programs or the hypervisor took.")


def floors_table(columns):
    lines = ["| µs | " + " | ".join(column["name"] for column in columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for pattern, name in PATTERNS:
        cells = (number(column["us"][pattern]) if pattern in column["us"] else "not run" for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [""] + [f"{column['name']} not run: {column['not_run']}" for column in columns if "not_run" in column]
    return "\n".join(lines).rstrip() + "\n"


def himeno_table(curves):
    counts = sorted({count for curve in curves for count in curve["mflops"]})
    lines = ["| MFLOPS | " + " | ".join(map(str, counts)) + " |", "| --- |" + " ---: |" * len(counts)]
    for curve in curves:
        cells = (number(curve["mflops"][count]) if count in curve["mflops"] else "" for count in counts)
        lines.append(f"| {curve['name']} | " + " | ".join(cells) + " |")
    lines += [""] + [f"{curve['name']}, not run to the end: {curve['not_run']}" for curve in curves if "not_run" in curve]
    return "\n".join(lines).rstrip() + "\n"
