"""Tells which samples others disturbed: by what the kernel counts, never by what a sample's value is.

While a sample is taken, the kernel counts for each core how long programs ran on it, and how long the hypervisor ran something
else (steal). What programs ran less what this run's own processes ran is other programs' share. A sample is set aside when
either share of the cores' time is above its bound. Of processes on virtual nodes the host cannot always tell whose they are: there steal
alone counts.
"""
import os
import time
from dataclasses import dataclass

OTHERS_MAX = 0.05
STEAL_MAX = 0.02
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def counted():
    """Seconds that the cores of this run spent in programs, and stolen, since the machine started."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    programs = stolen = 0
    with open("/proc/stat", encoding="ascii") as lines:
        for line in lines:
            name, *ticks = line.split()
            if name in cores:
                user, nice, system, _idle, _waiting, _irq, _softirq, steal = (int(tick) for tick in ticks[:8])
                programs += user + nice + system
                stolen += steal
    return programs * TICK_S, stolen * TICK_S


def own():
    """Seconds that this process, and those of its descendants that have ended, spent."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass
class Noise:
    """Shares of the cores' time while a sample was taken."""
    others: float
    steal: float

    @property
    def disturbs(self):
        return self.others > OTHERS_MAX or self.steal > STEAL_MAX


class Watch:
    """From its making to noise()."""

    def __init__(self):
        self.began, self.own = time.monotonic(), own()
        self.programs, self.stolen = counted()

    def noise(self, virtual=False):
        programs, stolen = counted()
        cores = len(os.sched_getaffinity(0))
        room = max(cores * (time.monotonic() - self.began), TICK_S)
        # The kernel counts in ticks: one more or less on each core says nothing.
        others = programs - self.programs - (own() - self.own) - cores * TICK_S
        steal = stolen - self.stolen - cores * TICK_S
        return Noise(0.0 if virtual else max(others, 0.0) / room, max(steal, 0.0) / room)
