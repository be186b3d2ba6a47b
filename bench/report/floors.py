"""The same patterns by everything: bare shared memory, a socket, MPI, one-sided MPI, OpenSHMEM, and libdsm; in one table."""
import statistics

from .launch import Failed, NotRun

PATTERNS = (("word", "8 bytes of the other"), ("page", "4 KiB of the other"), ("mib", "1 MiB of the other"), ("barrier", "barrier"),
            ("exchange", "each writes 4 KiB and has the other's"))


class Column:
    """By one means. `sources`: (launch, program, what a benchmark is called by pattern, times)."""

    def __init__(self, name, sources):
        self.name, self.sources = name, sources
        self.values = {}
        self.why = ""

    def measure(self, machine):
        if self.why:
            return
        try:
            for launch, program, names in self.sources:
                found = machine.benchmarks(launch, program, *(name for name, _times in names.values()))
                for pattern, (name, times) in names.items():
                    self.values.setdefault(pattern, []).append(times * found[name]["us"])
        except (NotRun, Failed) as why:
            self.why = str(why)

    def result(self):
        medians = {pattern: statistics.median(values) for pattern, values in self.values.items()}
        return {"name": self.name, "us": medians, **({"not_run": self.why} if self.why else {})}


def patterns_of(prefix, *patterns):
    return {pattern: (f"{prefix}/{pattern}", 1) for pattern in patterns}


def columns(m):
    every = [pattern for pattern, _name in PATTERNS]
    result = [
        Column("shared memory", [(m.alone, "bench/wires", {**patterns_of("shm", "word", "page", "barrier", "exchange"),
                                                           "mib": ("shm_read/mib", 1)})]),
        Column("TCP socket", [(m.alone, "bench/wires", patterns_of("tcp", *every))]),
        Column("MPI, shm", [(m.mpirun(2, "shm"), "bench/mpi", patterns_of("mpi", *every))]),
        Column("MPI, tcp", [(m.mpirun(2, "tcp"), "bench/mpi", patterns_of("mpi", *every))]),
        Column("MPI one-sided, shm", [(m.mpirun(2, "shm"), "bench/mpi_rma", patterns_of("rma", *every))]),
        Column("OpenSHMEM, shm", [(m.mpirun(2, "any", "oshrun"), "bench/shmem", patterns_of("shmem", *every))]),
    ]
    pages = 256  # of a MiB
    for wire in m.transports:
        launch = m.dsmrun(2, wire)
        result.append(Column(f"libdsm, {wire}", [
            (launch, "bench/words", {"word": ("atomic/far", 1)}),
            (launch, "bench/fault", {"page": ("read_miss/single", 1), "mib": ("read_miss/sequential", pages)}),
            (launch, "bench/barrier", {"barrier": ("barrier", 1), "exchange": ("exchange", 1)}),
        ]))
    return result
