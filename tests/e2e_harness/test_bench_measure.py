"""A process is measured from outside: its CPU, its wake-ups, its children; and a load that fails is told as such."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.bench.measure import Sample, Target, cpu_seconds, family, loading, median, memory_kib, sample, tried, usage
from e2e.bench.measure import _counted as counted

BUSY = "import sys\nfor line in sys.stdin:\n    sum(range(2_000_000))\n    print('done', flush=True)"
CLIENT = """\
print("ready", flush=True)
input()
print('{"requests": 10, "failed": %d, "seconds": 2.0, "p50": 1.0, "p99": 3.0}')
"""


@contextmanager
def child(script: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()


def client(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_work_of_a_process_shows_as_cpu_and_waiting_as_wakeups() -> None:
    with child(BUSY) as process:
        tell(process)
        before = usage(process.pid)
        for _ in range(3):
            time.sleep(0.05)  # on a busy machine the next line is there before anyone waits for it
            tell(process)
        after = usage(process.pid)
    assert after.cpu - before.cpu > 0.01
    assert after.switches - before.switches >= 1


def test_cpu_is_finer_than_a_tick_of_the_clock() -> None:
    with child("print('up', flush=True); input()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = cpu_seconds(process.pid)
    assert seconds * 100 != int(seconds * 100)


def test_children_count_with_their_parent() -> None:
    script = "import subprocess\np = subprocess.Popen(['sleep', '60'])\nprint(p.pid, flush=True)\ninput()\np.kill()\n"
    with child(script) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert family(process.pid) == [process.pid, grandchild]
        assert memory_kib(process.pid) > memory_kib(grandchild) > 0
        tell(process)


def test_no_process_spends_nothing() -> None:
    assert (usage(0).cpu, usage(0).switches) == (0, 0)


def test_a_sample_is_per_request() -> None:
    found = sample(client(CLIENT % 0), Target("t", "https://t", (), 0))
    assert found == Sample(cpu=0.0, wakeups=0.0, rate=5.0, p50=1.0, p99=3.0, requests=10)


def test_a_failed_request_fails_the_sample() -> None:
    with pytest.raises(AssertionError, match="1 of 10 failed"):
        sample(client(CLIENT % 1), Target("t", "https://t", (), 0))


def test_a_load_that_ends_early_is_told_with_its_words() -> None:
    script = "import sys; print('no such host', file=sys.stderr); sys.exit(3)"
    with pytest.raises(AssertionError, match=r"ended with 3: no such host"), loading(client(script)):
        raise AssertionError("it was never ready")


def test_a_load_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with (
        pytest.raises(AssertionError, match="ended with -9"),
        loading(client("import time; print('ready', flush=True); time.sleep(60)"), deadline=1.0) as load,
    ):
        load.result()
    assert time.monotonic() - start < 20


def test_the_median_is_of_each_figure() -> None:
    samples = [Sample(1, 9, 3, 4, 5, 6), Sample(2, 8, 3, 4, 5, 6), Sample(9, 1, 3, 4, 5, 6)]
    assert median(samples) == Sample(2, 8, 3, 4, 5, 6)


def test_system_calls_are_counted_by_request() -> None:
    text = (
        "# started\n\n30,,syscalls:sys_enter_epoll_wait,1,100.00,,\n"
        "10,,syscalls:sys_enter_epoll_pwait,1,100.00,,\n"
        "<not counted>,,syscalls:sys_enter_sendto,0,0.00,,\n"
        "60,,syscalls:sys_enter_write,1,100.00,,\n"
    )
    assert counted(text, 20) == {"waits": 2.0, "writes": 3.0}
    assert counted("", 20) is None


def test_a_way_that_fails_is_noted_and_the_others_go_on() -> None:
    def refused() -> int:
        raise AssertionError("watch: 503")

    notes: list[str] = []
    assert tried("idle watch, vcproxy", refused, notes) is None
    assert tried("idle watch, go", lambda: 1, notes) == 1
    assert notes == ["failed: idle watch, vcproxy: watch: 503"]
