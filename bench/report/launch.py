"""Starts the programs of a build and reads their figures."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
TIMEOUT_S = 300
MPI_PACKAGES = "libopenmpi-dev openmpi-bin"
MICROSECONDS = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}


class NotRun(Exception):
    """Why a figure cannot be had here; one line."""


class Failed(Exception):
    """What went wrong where a figure should have been had; one line."""


def run(command, environment=None):
    """The standard output of a command; or raises NotRun, or Failed with its first line of complaint."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(environment or {})}, check=False)
    except FileNotFoundError as error:
        raise NotRun(f"{error.filename} is not built or not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"`{' '.join(words)}` took more than {TIMEOUT_S} s") from error
    if done.returncode != 0:
        complaints = [line for line in (done.stderr + done.stdout).splitlines() if re.search("[a-z]", line)]
        raise Failed(f"`{' '.join(words)}`: {complaints[0] if complaints else f'exit status {done.returncode}'}")
    return done.stdout


def parsed(text, who):
    """The JSON that a program printed."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failed(f"{who} printed no JSON: '{text[:60]}'") from error


class Machine:
    """This machine and a build on it. The makers of figures return functions without arguments that measure one."""

    def __init__(self, build, quick, transports):
        self.build = build
        self.seconds = 0.5 if quick else 3
        self.min_time = 0.1 if quick else 0.5
        self.transports = transports
        self.trap_name = None  # of the last program
        self.own_trap_name = None  # of the last one that ran on this machine itself
        self._virtual = None

    # --- starting programs: launch(program, argument...) returns what it printed ---

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise NotRun(f"{name} is not built")
        return path

    def alone(self, program, *arguments):
        return run([self.program(program), *arguments])

    def dsmrun(self, nodes, transport, environment=None):
        """verbs: on virtual nodes, one each."""
        command = [self.build / "tools/dsmrun", "-n", nodes, "--transport", transport]

        def launch(program, *arguments):
            if transport not in self.transports:
                raise NotRun(f"--transports leaves {transport} out")
            if transport == "verbs":
                self.need_virtual_nodes()
                return run([TREE / "tools/vcluster", "-n", nodes, "--", *command, self.program(program), *arguments], environment)
            return run([*command, self.program(program), *arguments], environment)
        launch.is_virtual = transport == "verbs"
        return launch

    def need_virtual_nodes(self):
        if self._virtual is None:
            self._virtual = subprocess.run([TREE / "tools/vcluster", "--ready"], capture_output=True, text=True, check=False,
                                           stdin=subprocess.DEVNULL)
        if self._virtual.returncode != 0:
            raise NotRun("no virtual nodes here: tools/vcluster --prepare makes them, in 4 to 10 minutes")

    def mpirun(self, ranks, wire, launcher="mpirun"):
        """More ranks than cores yield while they wait."""
        wires = {"shm": ["--mca", "pml", "ob1", "--mca", "btl", "self,vader"],
                 "tcp": ["--mca", "pml", "ob1", "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"],
                 "any": []}
        command = [launcher, "-n", ranks, *wires[wire]]  # no other wire on the quiet
        if ranks > len(os.sched_getaffinity(0)):
            command += ["--oversubscribe", "--mca", "mpi_yield_when_idle", "1"]
        if os.geteuid() == 0:
            command.append("--allow-run-as-root")

        def launch(program, *arguments):
            if not shutil.which(launcher) or not (self.build / program).exists():
                raise NotRun(f"no {launcher}, or {program} is not built: apt-get install {MPI_PACKAGES}")
            return run([*command, self.build / program, *arguments])
        return launch

    # --- Himeno ---

    def himeno_result(self, launch, program, size, *arguments):
        """What one run wrote, whose residual was verified. Virtual nodes keep their files; so it goes to the output."""
        result = parsed(launch(f"apps/himeno/{program}", size, "--seconds", self.seconds, "--quiet", "--json", "-", *arguments), program)
        if not result["passed"]:
            raise Failed(f"{program} {size} did not pass iteration 3, or its residual is wrong")
        return result

    def himeno_dsm(self, nodes, transport, size, *arguments, environment=None):
        launch = self.dsmrun(nodes, transport, environment)
        return lambda: self.himeno_result(launch, "himeno", size, *arguments)["mflops"]

    def himeno_mpi(self, ranks, wire, size):
        launch = self.mpirun(ranks, wire)
        return lambda: self.himeno_result(launch, "himeno-mpi", size)["mflops"]

    def himeno_here(self, program, size, *arguments):
        return lambda: self.himeno_result(self.alone, program, size, *arguments)["mflops"]

    def himeno_traps(self, nodes, transport, size):
        """Of all nodes in an iteration, once the pages have settled."""
        def measure():
            result = self.himeno_result(self.dsmrun(nodes, transport), "himeno", size)
            if result["settled_iterations"] == 0:
                raise Failed("the run ended before the pages had settled")
            return result["settled_traps"] / result["settled_iterations"]
        return measure

    # --- Google Benchmark ---

    def benchmarks(self, launch, program, *names):
        """What the named benchmarks of one run report, by name, each with its time in microseconds."""
        wanted = "|".join(names)
        output = parsed(launch(program, f"--benchmark_filter=^({wanted})(/manual_time|/real_time)?$", "--benchmark_format=json",
                               f"--benchmark_min_time={self.min_time}"), program)
        self.trap_name = output["context"].get("traps", self.trap_name)
        if not getattr(launch, "is_virtual", False):
            self.own_trap_name = self.trap_name
        found = {}
        for result in output.get("benchmarks", []):
            name = re.sub("/(manual|real)_time$", "", result["name"])
            if result.get("error_occurred"):
                raise NotRun(f"{name}: {result['error_message']}")
            found[name] = {**result, "us": result["real_time"] * MICROSECONDS[result["time_unit"]]}
        for name in names:
            if name not in found:
                raise Failed(f"{program}: no benchmark is called {name}")
        return found

    def micro(self, nodes, transport, program, name, exactly=None, environment=None):
        """Microseconds of one operation, which must cost `exactly` so many of what the program counts."""
        def measure():
            result = self.benchmarks(self.dsmrun(nodes, transport, environment), f"bench/{program}", name)[name]
            expect(name, result, exactly)
            return result["us"]
        return measure

    def micro_pair(self, nodes, transport, program, name, beside, environment=None):
        """Two of them, in one run."""
        def measure():
            results = self.benchmarks(self.dsmrun(nodes, transport, environment), f"bench/{program}", name, beside)
            return results[name]["us"], results[beside]["us"]
        return measure

    def rate_pair(self, transport, name, beside):
        """GB/s of bench/fetch on two nodes, whose operations are pages of 4 KiB, and of what it is held against, in one run."""
        measure = self.micro_pair(2, transport, "fetch", name, beside)
        return lambda: tuple(4.096 / us for us in measure())

    def counter(self, nodes, transport, program, name, *counters, scale=1.0):
        """How much of what the program counts an operation cost, all these together."""
        def measure():
            result = self.benchmarks(self.dsmrun(nodes, transport), f"bench/{program}", name)[name]
            return scale * sum(result[counter] for counter in counters)
        return measure

    def micro_mpi(self, ranks, wire, name):
        return lambda: self.benchmarks(self.mpirun(ranks, wire), "bench/mpi", name)[name]["us"]

    def engine(self, name, value="real_time"):
        return lambda: self.benchmarks(self.alone, "bench/engine", name)[name][value]

    def floor(self, *names):
        """The sum of what the named floors cost; of `trap` and `invalidate`, those of the trap that the last program used."""
        total = 0.0
        for program in ("floors", "wires"):
            wanted = [f"{name}_{self.trap_name}" if name in ("trap", "invalidate") else name for name in names
                      if ("/" in name) == (program == "wires")]
            if wanted:
                found = self.benchmarks(self.alone, f"bench/{program}", *set(wanted))
                total += sum(found[name]["us"] for name in wanted)
        return total

    # --- others ---

    def resident(self, bound):
        """Bytes of the fullest node, or what it is allowed."""
        nodes = parsed(self.dsmrun(2, "shm", {"DSM_CACHE": "32M"})("bench/resident"), "resident")["nodes"]
        fullest = max(nodes, key=lambda node: node["resident"] / (node["home"] + node["cache_limit"]))
        return fullest["home"] + fullest["cache_limit"] if bound else fullest["resident"]

    def seeds_per_second(self):
        found = re.search(r"([\d.]+) seeds/s", self.alone("tests/sim/sim_main", "--bench", "--figure"))
        if not found:
            raise Failed("sim_main --bench --figure printed no figure of the form `N seeds/s`")
        return float(found.group(1))


def expect(name, result, exactly):
    for counter, wanted in (exactly or {}).items():
        if abs(result[counter] - wanted) > 0.01:
            raise Failed(f"{name}: {result[counter]:g} {counter} an operation where {wanted} were to be measured")
