"""What the benchmarks' harness makes of known costs, without a clock."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.harness import Cost, Report, Spread, StoppedError, Worker, growth, ratios, reach, take_turns
from benchmarks.passes import Measured


def cost(seconds: float, cpu: float = 1.0, extra: int = 1 << 20, said: object = None) -> Cost:
    return Cost(seconds, cpu, extra + (1 << 30), extra, said)


def test_ways_take_turns_and_one_that_stops_is_left_out():
    calls: list[str] = []

    def way(name: str, most: int):
        def ask(work: int) -> Cost:
            if calls.count(name) == most:
                raise StoppedError("ended")
            calls.append(name)
            return cost(work * (1 + len(calls)))

        return ask

    said: list[str] = []
    found = take_turns({"a": way("a", 9), "b": way("b", 1), "c": way("c", 9)}, 10, 3, said.append)
    assert calls == ["a", "b", "c", "a", "c", "a", "c"]
    assert [c.seconds for c in found["a"]] == [20, 50, 70]
    assert [len(found[name]) for name in "abc"] == [3, 1, 3]
    assert said[3] == "a, 10, turn 2: 50.00 s, 1.00 s of CPU" and said[4] == "b: ended"


def test_ratios_pair_the_turns():
    """The median of the ratios is 2; that of times over that of times would be 4."""
    over = [cost(2, 3), cost(80, 30), cost(8, 9)]
    under = [cost(1, 1), cost(20, 10), cost(4, 3)]
    time, cpu = ratios(over, under)
    assert time == Spread(2.0, 2.0, 4.0)
    assert cpu == Spread(3.0, 3.0, 3.0)
    assert str(time) == "2.00 (2.00 to 4.00)" and str(cpu) == "3.00"


def test_growth_is_the_exponent():
    sizes = [256, 512, 1024, 2048]
    assert growth(sizes, [3e-4 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    noisy = [n**2 * factor for n, factor in zip(sizes, (1.1, 0.9, 0.9, 1.1), strict=True)]
    assert growth(sizes, noisy) == pytest.approx(2.0)
    assert growth(sizes, [n + n**2 / 512 for n in sizes]) == pytest.approx(1.5796, abs=1e-3)


def test_reach_goes_on_as_the_last_two_did():
    """Linear at first, squares at the end: 100 at 10 units, so 400 at 20."""
    assert reach([1, 2, 5, 10], [5, 10, 25, 100], 400) == pytest.approx(20)
    assert reach([1, 2], [3, 3], 10) == math.inf


def test_what_ends_first_is_named():
    lengths = (512, 1024)
    slow = Measured(
        {n: [cost(n / 1024 * 60, n / 1024 * 90, extra=n << 10)] for n in lengths}
    )  # 600 s at 10,240; 24 GiB far later
    assert slow.stops(24 << 30) == "about 10,000 (time)"
    large = Measured(
        {n: [cost(1 + n / 1e6, extra=n**2 * 2048)] for n in lengths}
    )  # 2 GiB at 1,024, 1 GiB of model
    assert large.stops(9 << 30) == "about 2,000 (memory)"
    pages = Measured({n: [cost(1.0, said={"bytes": n**2 * 512})] for n in lengths})  # 512 MiB at 1,024
    assert pages.stops(24 << 30) == "about 1,000 (size of the page)"


def test_memory_takes_the_highest_turn_and_times_the_median():
    measured = Measured({256: [cost(1, extra=5 << 20), cost(3, extra=9 << 20), cost(2, extra=1)]})
    assert measured.series("extra") == ([256], [9 << 20])
    assert measured.series("seconds") == ([256], [2])


def test_a_process_serves_works_and_is_gone(tmp_path, monkeypatch):
    """Talk between the answers is passed over; an answer carries what the work handed over."""
    from benchmarks import harness

    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "harness.py").write_text(Path(harness.__file__).read_text())
    (folder / "doubling.py").write_text(
        "import sys\nfrom benchmarks.harness import serve\n"
        "def run(x):\n    print('talk')\n    return x * 2 if x else sys.exit(3)\nserve(run)\n"
    )
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    with Worker("doubling") as worker:
        found = worker.ask(21)
        assert found.said == 42 and found.cpu >= 0 and found.peak > 1 << 20 and found.extra <= found.peak
        with pytest.raises(StoppedError, match="ended with 3"):
            worker.ask(0)


def test_a_report_keeps_its_limits():
    report = Report()
    report.table(["a", "b"], [["1", "2"]])
    report.limit("small", False)
    assert report.lines == ["", "| a | b |", "| --- | --- |", "| 1 | 2 |", ""]
    assert report.limits == [("small", False)]
