# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""What the workers of the Python peers run. Every result carries the process that made it."""
import os
import signal
import time

try:
    import numpy
except ImportError:  # the values are bytes then
    numpy = None

PID = os.getpid()


def _forked():
    global PID
    PID = os.getpid()


os.register_at_fork(after_in_child=_forked)

MAKER_SHIFT = 40


def empty(_=None):
    return PID


def send_empty(pipe):
    pipe.send(PID)


def polynomial(x):
    return PID << MAKER_SHIFT | x * x + x + 1


def spin(nanoseconds):
    begin = time.perf_counter_ns()
    while time.perf_counter_ns() - begin < nanoseconds:
        pass
    return PID


def burn(nanoseconds):
    begin = time.thread_time_ns()
    while time.thread_time_ns() - begin < nanoseconds:
        pass
    return PID


def sleep_for_2ms(x):
    time.sleep(.002)
    return polynomial(x)


def die(_=None):
    os.kill(os.getpid(), signal.SIGKILL)


def meet(place):
    """Waits until as many tasks run at the same time as are expected; see bench/support/gathering.hpp."""
    owner, arrivals, gate_read, gate_write, expected = place
    opened = [os.open(f"/proc/{owner}/fd/{number}", flags) for number, flags in (
        (arrivals, os.O_WRONLY | os.O_APPEND), (gate_read, os.O_RDONLY), (gate_write, os.O_WRONLY))]
    os.write(opened[0], b"x")
    if os.fstat(opened[0]).st_size == expected:
        os.write(opened[2], b"k" * expected)
    os.read(opened[1], 1)
    for number in opened:
        os.close(number)
    return PID


def new_array(size):
    """So many bytes of ones: an array of numpy where that is installed, the best case of these peers."""
    return numpy.ones(max(1, size // 8), dtype="u8") if numpy else bytearray(b"\x01") * size


def sum_of_pages(array):
    return int(array[::512].sum()) if numpy else sum(array[::4096])


def look_at(array):
    return PID, sum_of_pages(array)


def make_array(size):
    """The array, who made it, and the seconds that this took."""
    begin = time.perf_counter()
    array = new_array(size)
    return array, PID, time.perf_counter() - begin
