#!/usr/bin/env python3
"""bench/run's report: what counts, what is set aside, and how goals are judged. bench_report_test.py BENCH_DIRECTORY"""
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop())

from report import launch, noise, rows, table  # noqa: E402  (found by the path above)


def measured(samples, **goals):
    """The result of a row with these samples: (value, beside, noise)."""
    left = list(samples)
    row = rows.Row("row", "µs", lambda: left.pop(0)[:2], "something", **goals)
    for _value, _beside, disturbance in samples:
        rows.Watch = lambda disturbance=disturbance: type("Watch", (), {"noise": lambda self, virtual: disturbance})()
        row.measure()
    return row.result()


QUIET = noise.Noise(0.0, 0.0)
BUSY = noise.Noise(0.5, 0.0)
STOLEN = noise.Noise(0.0, 0.5)


class Samples(unittest.TestCase):
    def tearDown(self):
        rows.Watch = noise.Watch

    def test_are_set_aside_by_noise(self):
        for disturbance in (BUSY, STOLEN):
            result = measured([(1, 1, QUIET), (9, 1, disturbance), (8, 1, disturbance), (2, 1, QUIET), (3, 1, QUIET)])
            self.assertEqual(result["ratio"], 2)
            self.assertEqual(result["set_aside"], 2)
            self.assertEqual(result["with_them"], 3)
            self.assertIn("2 of 5 (3 with them)", table.rows_table([result]))

    def test_are_never_set_aside_by_value(self):
        result = measured([(1, 1, QUIET), (1000, 1, QUIET), (1000, 1, QUIET)])
        self.assertEqual((result["ratio"], result["set_aside"]), (1000, 0))

    def test_count_when_all_were_disturbed(self):
        result = measured([(1, 1, BUSY), (2, 1, BUSY), (3, 1, BUSY)])
        self.assertEqual((result["ratio"], result["set_aside"]), (2, 3))

    def test_are_divided_round_by_round(self):
        self.assertEqual(measured([(10, 5, QUIET), (100, 20, QUIET), (1000, 500, QUIET)])["ratio"], 2)


class Others(unittest.TestCase):
    def watch(self, programs, stolen, used, virtual=False):
        """The noise of ten seconds in which the kernel counted so much."""
        counts, owns, times = iter([(0, 0), (programs, stolen)]), iter([0, used]), iter([0, 10])
        real = noise.counted, noise.own, noise.time.monotonic
        noise.counted, noise.own, noise.time.monotonic = (lambda: next(counts)), (lambda: next(owns)), (lambda: next(times))
        try:
            return noise.Watch().noise(virtual)
        finally:
            noise.counted, noise.own, noise.time.monotonic = real

    def test_own_processes_disturb_nothing(self):
        self.assertFalse(self.watch(programs=10, stolen=0, used=10).disturbs)

    def test_other_processes_do(self):
        self.assertTrue(self.watch(programs=12, stolen=0, used=4).disturbs)

    def test_so_does_the_hypervisor(self):
        self.assertTrue(self.watch(programs=10, stolen=4, used=10).disturbs)

    def test_processes_of_virtual_nodes_are_not_looked_at(self):
        self.assertFalse(self.watch(programs=12, stolen=0, used=4, virtual=True).disturbs)
        self.assertTrue(self.watch(programs=12, stolen=4, used=4, virtual=True).disturbs)


class Goals(unittest.TestCase):
    def test_at_most(self):
        for ratio, verdict in ((1, "stretch"), (2, "stretch"), (3, "reached"), (4, "reached"), (5, "missed")):
            self.assertEqual(measured([(ratio, 1, QUIET)], reach=4, stretch=2)["verdict"], verdict)

    def test_at_least(self):
        for ratio, verdict in ((5, "stretch"), (4, "stretch"), (3, "reached"), (2, "reached"), (1, "missed")):
            self.assertEqual(measured([(ratio, 1, QUIET)], reach=2, stretch=4, at_least=True)["verdict"], verdict)

    def test_of_a_figure_alone(self):
        self.assertEqual(measured([(0, None, QUIET)], reach=0, stretch=0)["verdict"], "stretch")
        self.assertEqual(measured([(1, None, QUIET)], reach=0, stretch=0)["verdict"], "missed")

    def test_none(self):
        self.assertNotIn("verdict", measured([(1, 1, QUIET)]))


class Absent(unittest.TestCase):
    def result(self, error):
        def sample():
            raise error
        row = rows.Row("row", "µs", sample, reach=1)
        row.measure()
        row.measure()
        return row.result()

    def test_not_run_is_no_figure(self):
        result = self.result(launch.NotRun("no wire"))
        self.assertNotIn("verdict", result)
        self.assertIn("not run: no wire", table.rows_table([result]))

    def test_a_failure_shows(self):
        result = self.result(launch.Failed("it broke"))
        self.assertEqual(result["failed"], "it broke")
        self.assertIn("**failed**: it broke", table.rows_table([result]))


if __name__ == "__main__":
    unittest.main()
