#!/usr/bin/env python3
"""The virtual network by itself: switch_test.py SWITCH

Machines are this script again (switch_test.py SWITCH ROLE FILE ... PORT), with their port as descriptor 3.
"""
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

FRAMES = 2000


def address(port):
    return bytes([0x52, 0x54, 0, 0x77, 0, port + 1])


def frame(to, source, number, size=64):
    head = address(to) + address(source) + b"\x08\x00" + number.to_bytes(4, "big")
    return head + bytes(size - len(head))


def machine(role, path, port):
    """Port 0 receives into the file, one number and time a line; the others send to it."""
    wire = socket.socket(fileno=3)
    if port == 0:
        wire.send(frame(1, 0, 0))  # so that the switch knows where port 0 is
        if role == "slow":
            time.sleep(0.5)
        wire.settimeout(1.5)
        with open(path, "w", encoding="ascii") as out:
            while True:
                try:
                    got = wire.recv(65536)
                except TimeoutError:
                    return
                out.write(f"{got[11] - 1} {int.from_bytes(got[14:18], 'big')} {time.monotonic()}\n")
    if port == 2 and role != "three":
        wire.send(frame(0, 2, FRAMES))  # so that the switch knows where it is
        time.sleep(60)  # takes nothing, and is killed in the end
    wire.recv(65536)
    if role == "deaf":  # more than the switch keeps for a machine that takes nothing
        time.sleep(0.2)
        for number in range(3000):
            wire.send(frame(2, port, number, 9000))
    if role == "delay":
        with open(path + ".sent", "w", encoding="ascii") as out:
            out.write(f"{time.monotonic()}\n")
    for number in range(FRAMES):
        wire.send(frame(0, port, number))
    time.sleep(60)


class Switch(unittest.TestCase):
    def run_switch(self, role, loss_ppm=0, delay_us=0, seed=1, ports=2):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "got")
            subprocess.run([SWITCH, str(ports), str(loss_ppm), str(delay_us), str(seed), "first", "--",
                            sys.executable, __file__, SWITCH, role, path], check=True, timeout=60)
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file]
            sent = None
            if role == "delay":
                with open(path + ".sent", encoding="ascii") as file:
                    sent = float(file.read())
            return [(int(source), int(number)) for source, number, _ in rows], [float(row[2]) for row in rows], sent

    def test_all_frames_arrive_in_order(self):
        got, _, _ = self.run_switch("plain")
        self.assertEqual(got, [(1, i) for i in range(FRAMES)])

    def test_a_slow_machine_loses_nothing(self):
        got, _, _ = self.run_switch("slow")
        self.assertEqual(got, [(1, i) for i in range(FRAMES)])

    def test_a_machine_that_takes_nothing_holds_nobody_up_for_long(self):
        got, _, _ = self.run_switch("deaf", ports=3)
        self.assertEqual([number for port, number in got if port == 1], list(range(FRAMES)))

    def test_loss_is_the_same_for_equal_seeds(self):
        first, _, _ = self.run_switch("plain", loss_ppm=100_000, seed=7)
        again, _, _ = self.run_switch("plain", loss_ppm=100_000, seed=7)
        other, _, _ = self.run_switch("plain", loss_ppm=100_000, seed=8)
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        # 10 % of 2,000: 200, give or take seven standard deviations.
        self.assertTrue(106 <= FRAMES - len(first) <= 294, f"{FRAMES - len(first)} lost")

    def test_loss_of_all(self):
        got, _, _ = self.run_switch("plain", loss_ppm=1_000_000)
        self.assertEqual(got, [])

    def test_delay(self):
        got, times, sent = self.run_switch("delay", delay_us=200_000)
        self.assertEqual(got, [(1, i) for i in range(FRAMES)])
        self.assertGreaterEqual(times[0] - sent, 0.2)

    def test_several_senders(self):
        got, _, _ = self.run_switch("three", ports=3)
        for source in (1, 2):
            self.assertEqual([number for port, number in got if port == source], list(range(FRAMES)))

    def test_bad_command_lines(self):
        for arguments in ([], ["0", "0", "0", "0", "first", "--", "true"], ["x", "0", "0", "0", "first", "--", "true"],
                          ["2", "2000000", "0", "0", "first", "--", "true"]):
            self.assertEqual(subprocess.run([SWITCH, *arguments], check=False, stderr=subprocess.DEVNULL).returncode, 2)


if __name__ == "__main__":
    SWITCH = sys.argv[1]
    if len(sys.argv) > 2 and not sys.argv[2].startswith("-"):
        machine(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
