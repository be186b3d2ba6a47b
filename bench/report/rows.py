"""What is measured, beside what, and the goals. bench/README.md says what each row means."""
import statistics
from dataclasses import dataclass, field
from typing import Callable, Optional

from .launch import Failed, NotRun
from .noise import Watch


@dataclass
class Row:
    """One figure. A sample is what was measured, and what that is divided by (or None). `reach` and `stretch` bound
    the ratio, or the figure alone."""
    name: str
    unit: str
    sample: Callable[[], tuple]
    beside: str = ""
    reach: Optional[float] = None
    stretch: Optional[float] = None
    at_least: bool = False
    virtual: bool = False  # on virtual nodes
    samples: list = field(default_factory=list)
    not_run: str = ""
    failed: str = ""

    def measure(self):
        if self.not_run or self.failed:
            return
        watch = Watch()
        try:
            value, beside = self.sample()
        except NotRun as why:
            self.not_run = str(why)
        except Failed as what:
            self.failed = str(what)
        else:
            noise = watch.noise(self.virtual)
            self.samples.append({"value": value, "beside": beside, "others": noise.others, "steal": noise.steal,
                                 "set_aside": noise.disturbs})

    def result(self):
        entry = {"name": self.name, "unit": self.unit, "reach": self.reach, "stretch": self.stretch, "at_least": self.at_least}
        if self.not_run:
            return {**entry, "not_run": self.not_run}
        if self.failed:
            return {**entry, "failed": self.failed}
        quiet = [sample for sample in self.samples if not sample["set_aside"]]
        entry.update(medians(quiet or self.samples), samples=self.samples, beside=self.beside,
                     set_aside=len(self.samples) - len(quiet), with_them=medians(self.samples)["judged"])
        if self.reach is not None:
            entry["verdict"] = self.verdict(entry["judged"])
        return entry

    def verdict(self, judged):
        def meets(goal):
            return goal is not None and (judged >= goal if self.at_least else judged <= goal)
        return "stretch" if meets(self.stretch) else "reached" if meets(self.reach) else "missed"


# Of barriers at which a page is brought: whether anybody still reads it is looked at so often, by a trap.
PUSH_SAMPLES = 0.001


def medians(samples):
    value = statistics.median(sample["value"] for sample in samples)
    if samples[0]["beside"] is None:
        return {"measured": value, "judged": value}
    ratio = statistics.median(sample["value"] / sample["beside"] for sample in samples)
    return {"measured": value, "beside_measured": statistics.median(sample["beside"] for sample in samples), "ratio": ratio,
            "judged": ratio}


def only(measure):
    return lambda: (measure(), None)


def both(measure, beside):
    return lambda: (measure(), beside())


def rows_to_reach(m):
    """The goals of the project, in the order of its list. m: Machine."""
    himeno = [
        ("Himeno S, 2 nodes, shm, p shared", m.himeno_dsm(2, "shm", "S"), 2, "shm", "S", 1.0, 1.08),
        ("Himeno S, 2 nodes, shm, all 14 arrays shared", m.himeno_dsm(2, "shm", "S", "--share", "all"), 2, "shm", "S", 0.95, 1.05),
        ("Himeno M, 2 nodes, shm, p shared", m.himeno_dsm(2, "shm", "M"), 2, "shm", "M", 0.99, 1.02),
        ("Himeno S, 2 nodes, tcp, p shared", m.himeno_dsm(2, "tcp", "S"), 2, "tcp", "S", 1.0, 1.1),
        ("Himeno S, 4 nodes on 2 cores, shm, p shared", m.himeno_dsm(4, "shm", "S"), 4, "shm", "S", 0.9, 1.0),
    ]
    rows = [Row(name, "MFLOPS", both(measure, m.himeno_mpi(ranks, wire, size)),
                f"MPI, {wire}" + (f", {ranks} yielding ranks" if ranks > 2 else ""), reach, stretch, at_least=True)
            for name, measure, ranks, wire, size, reach, stretch in himeno]
    one_page = {"read_faults": 1, "pages_fetched": 1}
    read_miss = {wire: m.micro(2, wire, "fault", "read_miss/single", one_page) for wire in ("shm", "tcp")}
    rows += [
        Row("traps in an iteration of Himeno S after the tenth, 2 nodes, shm", "", only(m.himeno_traps(2, "shm", "S")), "", 0, 0),
        Row("allocation and first write of S' arrays, 2 nodes, shm", "µs", m.micro_pair(
            2, "shm", "first_write", "first_write/shared", "first_write/private"), "private memory, 4 KiB pages", 2, 1.5),
        Row("barrier, 2 nodes, shm", "µs", both(m.micro(2, "shm", "barrier", "barrier"), m.micro_mpi(2, "shm", "barrier")),
            "MPI, shm", 4, 2),
        Row("barrier, 4 nodes on 2 cores, shm", "µs", both(m.micro(4, "shm", "barrier", "barrier"), m.micro_mpi(4, "shm", "barrier")),
            "MPI, 4 yielding ranks", 1.5, 1),
        Row("update by pull, warm frame, 2 nodes, shm", "µs",
            both(read_miss["shm"], lambda: m.floor("trap", "copy_page", "shm/word")), "trap + 4 KiB copy + spinning round trip", 1.3, 1.1),
        Row("update by pull, 2 nodes, tcp", "µs", both(read_miss["tcp"], lambda: m.floor("trap", "tcp/page")),
            "trap + spinning 4 KiB TCP round trip", 1.3, 1.1),
        Row("write, barrier, invalidate, re-read, barrier, 2 nodes, shm", "µs",
            both(m.micro(2, "shm", "fault", "exchange"),
                 lambda: m.floor("shm/word", "invalidate", "trap", "copy_page", "shm/word", "shm/word")),
            "2 round trips + invalidation + trap + copy + round trip", 1.5, 1.2),
        Row("the same round, pushed, 2 nodes, shm", "µs",
            both(m.micro(2, "shm", "barrier", "exchange"), lambda: 2 * m.micro_mpi(2, "shm", "barrier")() + m.floor("copy_page")),
            "2 MPI barriers + copy", 2, 1.3),
        Row("traps in the pushed round, at a node, 2 nodes, shm; at most the samples", "",
            only(m.counter(2, "shm", "barrier", "exchange", "read_faults", "write_faults")), "", PUSH_SAMPLES, PUSH_SAMPLES),
        Row("hand-over of a bound scope with its 64 bytes, 2 nodes, shm", "µs",
            both(m.micro(2, "shm", "lock", "lock/bound_64_push", {"pages_fetched": 0}), lambda: m.floor("shm/word")),
            "spinning round trip", 10, 5),
    ]
    for wire in ("shm", "verbs"):
        rows.append(Row(f"read miss with the home node computing, 2 nodes, {wire}", "µs",
                        m.micro_pair(2, wire, "fault", "read_miss/computing", "read_miss/waiting"), "with it waiting", 1.05,
                        virtual=wire == "verbs"))
    reads = [
        ("shm, warm frames", "shm", "sequential_warm", "memcpy between touched buffers", "copy_touched", 0.3, 0.45),
        ("shm, cold frames", "shm", "sequential_cold", "memcpy into untouched memory", "copy_into_untouched", 0.5, 0.8),
        ("tcp", "tcp", "sequential_warm", "a TCP stream on loopback", "tcp_stream", 0.7, 0.9),
    ]
    rows += [Row(f"sequential read of 64 MiB remote, {name}", "GB/s", m.rate_pair(wire, f"fetch/{own}", f"floor/{floor}"), beside, reach,
                 stretch, at_least=True) for name, wire, own, beside, floor, reach, stretch in reads]
    rows += [
        Row("engine, all steps of a read miss", "ns", only(m.engine("engine_read_miss")), "", 200, 100),
        Row("engine state of a page never touched here", "bytes", only(m.engine("engine_untouched_page", "bytes")), "", 0, 0),
        Row("processor use of a node that waits in a lock for a second, shm", "%",
            only(m.counter(2, "shm", "lock", "lock/waited_a_second", "processor_us", scale=1e-4)), "", 2),
    ]
    return rows


def further_rows(m):
    """For orientation, and goals that other features have."""
    round_trip = "spinning round trip"
    rows = [
        Row("Himeno M, 2 nodes, tcp", "MFLOPS", both(m.himeno_dsm(2, "tcp", "M"), m.himeno_mpi(2, "tcp", "M")), "MPI, tcp", 0.4,
            at_least=True),
        Row("Himeno S, 2 nodes, shm, release policy", "MFLOPS",
            both(m.himeno_dsm(2, "shm", "S", environment={"DSM_CONSISTENCY": "release"}), m.himeno_dsm(2, "shm", "S")),
            "scope policy", 0.77, at_least=True),
        Row("Himeno S, 2 nodes, shm, DSM_DEBUG=1", "MFLOPS",
            both(m.himeno_dsm(2, "shm", "S", environment={"DSM_DEBUG": "1"}), m.himeno_dsm(2, "shm", "S")), "without", 0.5, at_least=True),
        Row("lock, last here, 2 nodes, shm", "µs", both(m.micro(2, "shm", "lock", "lock/last_here"), lambda: m.floor("mutex")),
            "std::mutex", 3),
        Row("lock with 64 bytes bound, pulled, 2 nodes, shm", "µs",
            both(m.micro(2, "shm", "lock", "lock/bound_64_pull", {"pages_fetched": 0}), lambda: m.floor("shm/word")), round_trip),
        Row("fetch_add on another node's word, 2 nodes, shm", "µs",
            both(m.micro(2, "shm", "words", "atomic/far"), lambda: m.floor("shm/word")), round_trip),
        Row("shared memory of a node", "bytes", both(lambda: m.resident(False), lambda: m.resident(True)), "home + cache", 1.05),
        Row("simulator, each seed twice", "seeds/s", only(m.seeds_per_second), "", 300, at_least=True),
    ]
    for wire in m.transports:
        rows += rows_of_wire(m, wire)
    return rows


def worth_rows(m):
    """What makes it fast, each left out, beside the same with it."""
    def row(name, without, nodes, wire, program, benchmark, shared=None):
        """`shared`: what is left out on both sides."""
        with_it, without_it = shared or {}, {**(shared or {}), **without}
        switch = " ".join(f"{variable}={value}" for variable, value in without.items())
        return Row(f"{name}: {benchmark}, {nodes} nodes, {wire}, {switch}", "µs",
                   both(m.micro(nodes, wire, program, benchmark, environment=without_it),
                        m.micro(nodes, wire, program, benchmark, environment=with_it)), "with it")
    no_windows = {"DSM_READ_AHEAD": "0"}
    return [
        row("private pages", {"DSM_WITHOUT": "private"}, 2, "shm", "policy", "stencil/scope"),
        row("pushed pages", {"DSM_PUSH": "0"}, 2, "shm", "barrier", "exchange"),
        row("pushed pages", {"DSM_PUSH": "0"}, 2, "tcp", "barrier", "exchange"),
        row("mark and READ in one trip", {"DSM_WITHOUT": "marks"}, 2, "tcp", "fault", "read_miss/single"),
        row("windows for who reads in order", no_windows, 2, "shm", "fetch", "fetch/sequential_warm"),
        row("windows for who reads in order", no_windows, 2, "tcp", "fetch", "fetch/sequential_warm"),
        row("pages that are next to one another in one operation", {"DSM_WITHOUT": "runs"}, 2, "tcp", "fetch", "fetch/sequential_warm",
            shared=no_windows),
        row("own pages watched by scans", {"DSM_WATCH": "trap"}, 2, "shm", "watch", "write/10"),
        row("lent locks", {"DSM_WITHOUT": "lending"}, 2, "shm", "lock", "lock/last_here"),
        row("dissemination", {"DSM_WITHOUT": "dissemination"}, 4, "shm", "barrier", "barrier"),
        row("spinning before sleeping", {"DSM_SPIN": "0"}, 2, "shm", "barrier", "barrier"),
    ]


def rows_of_wire(m, wire):
    """What the calls cost over one transport; beside MPI where it has the same."""
    where, virtual = f"2 nodes, {wire}", wire == "verbs"

    def row(name, program, benchmark, exactly=None):
        return Row(f"{name}, {where}", "µs", only(m.micro(2, wire, program, benchmark, exactly)), virtual=virtual)
    if virtual:
        return [row("read miss", "fault", "read_miss/single", {"pages_fetched": 1}), row("barrier", "barrier", "barrier"),
                row("write, barrier, read, barrier", "barrier", "exchange"), row("lock, handed over", "lock", "lock/last_elsewhere")]

    def beside_mpi(name, program, benchmark, reach=None):
        return Row(f"{name}, {where}", "µs", both(m.micro(2, wire, program, benchmark), m.micro_mpi(2, wire, benchmark)),
                   f"MPI, {wire}", reach)
    rows = [
        row("trap alone", "fault", "trap/single", {"pages_fetched": 1}),
        row("first write to a page that is here", "fault", "upgrade/single", {"pages_fetched": 1, "write_faults": 1}),
        row("write miss", "fault", "write_miss/single", {"pages_fetched": 1}),
        Row(f"first write, home computing, {where}", "µs", m.micro_pair(2, wire, "fault", "upgrade/computing", "upgrade/waiting"),
            "home waiting"),
        Row(f"write miss, home computing, {where}", "µs", m.micro_pair(2, wire, "fault", "write_miss/computing", "write_miss/waiting"),
            "home waiting"),
    ]
    if wire == "tcp":
        rows += [Row(f"read miss, home computing, {where}", "µs", m.micro_pair(2, wire, "fault", "read_miss/computing", "read_miss/waiting"),
                     "home waiting"),
                 row("fetch_add on another node's word", "words", "atomic/far"),
                 beside_mpi("barrier", "barrier", "barrier"),
                 row("write, barrier, read, barrier", "barrier", "exchange")]
    rows += [row(f"diff of {words} words of 512, a page", "diff", f"diff/{words}")
             for words in (1, 8, 64, 128, 512)]
    rows += [
        row("lock, free at its manager", "lock", "lock/remote"),
        row("lock, handed over", "lock", "lock/last_elsewhere"),
        row("lock, contended counter", "lock", "lock/contended_counter"),
        row("fetch_add, contended word", "words", "atomic/contended"),
        beside_mpi("all-reduce", "collective", "all_reduce", 3 if wire == "shm" else None),
        beside_mpi("all-reduce of 1024 doubles", "collective", "all_reduce_1024"),
        beside_mpi("broadcast of 8 bytes", "collective", "broadcast"),
        beside_mpi("broadcast of 64 KiB", "collective", "broadcast_64k"),
        beside_mpi("all-gather", "collective", "all_gather"),
        beside_mpi("inclusive scan", "collective", "inclusive_scan"),
    ]
    rows += [row(f"allocate and free {name}", "alloc", f"alloc/{kib}_kib")
             for name, kib in (("4 KiB", 4), ("1 MiB", 1024), ("64 MiB", 65536))]
    rows += [Row(f"stencil, {policy} policy, {where}", "µs", m.micro_pair(2, wire, "policy", f"stencil/{policy}", "stencil/scope"),
                 "scope policy") for policy in ("release", "bound", "sequential")]
    rows += [Row(f"64 pages rewritten, at home elsewhere at first{how}, {where}", "µs",
                 m.micro_pair(2, wire, "policy", "homes/next", "homes/own", environment), "at home here")
             for how, environment in (("", None), (", DSM_MIGRATE=4", {"DSM_MIGRATE": "4"}))]
    return rows
