"""Figures against the number of nodes: Himeno here, invalidate and update by bench/latency."""
import json
import statistics
import subprocess
import sys

from .launch import TREE, Failed, NotRun

LATENCY_TIMEOUT_S = 7200
# What the papers compared, and what came of it: pages by RDMA, by datagrams of verbs, by UDP over IPoIB.
VIRTUAL = ("verbs", "verbs-multicast", "verbs-ud", "ipoib")


def latency(m, quick, nodes, transports, output):
    """Invalidate and update by bench/latency. (its runs, its tables, a line for whatever was not run)"""
    here = [wire for wire in transports if wire not in VIRTUAL]
    runs, texts, complaints = [], [], []
    groups = [(here, "8,4096" if quick else "8,1024,4096,65536")]
    if "verbs" in transports and not quick:  # minutes
        try:
            m.need_virtual_nodes()
            groups.append((VIRTUAL, "8,4096"))
        except NotRun as why:
            complaints.append(str(why))
    for wires, sizes in groups:
        if not wires:
            continue
        try:
            more, text = latency_of(m, quick, nodes, wires, sizes, output)
            runs += more
            texts.append(text)
        except Failed as why:
            complaints.append(str(why))
    return runs, "\n".join(texts), complaints


def latency_of(m, quick, nodes, wires, sizes, output):
    command = [sys.executable, TREE / "bench/latency", "--build", m.build, "--output", output, "--nodes", ",".join(map(str, nodes)),
               "--transports", ",".join(wires), "--bytes", sizes, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              timeout=LATENCY_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"bench/latency took more than {LATENCY_TIMEOUT_S} s") from error
    complaint = (done.stderr.replace("\r\033[K", "\n").strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    if not done.stdout:
        raise Failed(f"bench/latency: {complaint}")
    with open(f"{output}.json", encoding="utf-8") as file:
        return json.load(file), done.stdout + (f"\nNot all of it was run: {complaint}\n" if done.returncode != 0 else "")


class Curve:
    """Himeno of one kind, by number of nodes (or of threads, or ranks)."""

    def __init__(self, name, points):
        self.name, self.points = name, points  # points: how many -> a function that measures it
        self.values = {count: [] for count in points}
        self.why = ""

    def measure(self):
        for count, measure in self.points.items():
            if self.why:
                return
            try:
                self.values[count].append(measure())
            except (NotRun, Failed) as why:
                self.why = str(why)

    def result(self):
        medians = {count: statistics.median(values) for count, values in self.values.items() if values}
        return {"name": self.name, "mflops": medians, **({"not_run": self.why} if self.why else {})}


def himeno_curves(m, quick, nodes, size):
    curves = [Curve("sequential", {1: m.himeno_here("himeno-seq", size)}),
              Curve("OpenMP, threads", {count: m.himeno_here("himeno-omp", size, "--threads", count) for count in nodes})]
    curves += [Curve(f"MPI, {wire}", {count: m.himeno_mpi(count, wire, size) for count in nodes})
               for wire in m.transports if wire not in VIRTUAL]
    for wire in m.transports:
        if wire in VIRTUAL and quick:
            continue  # minutes
        shares = {"p shared": (), "all shared": ("--share", "all")}
        for share, options in shares.items():
            for threads in (1,) if quick or wire in VIRTUAL else (1, 2):
                name = f"libdsm, {wire}, {share}" + (f", {threads} threads" if threads > 1 else "")
                counts = [count for count in nodes if wire not in VIRTUAL or 1 < count]
                curves.append(Curve(name, {count: m.himeno_dsm(count, wire, size, "--threads", threads, *options) for count in counts}))
    return curves
