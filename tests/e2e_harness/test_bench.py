"""What the bench runs and prints, without a cluster: its commands, its last line, its settings, its profile."""

import re
import subprocess
from pathlib import Path

import pytest

from e2e.bench import __main__ as bench
from e2e.bench import profiling, ratio, requests, rivals, tools
from e2e.bench.measure import Sample
from e2e.bench.stage import PLENTY, settings

ROOT = Path(__file__).parent.parent.parent


def figures(cpu: float) -> Sample:
    return Sample(cpu=cpu, wakeups=1.25, rate=900.0, p50=1.0, p99=2.0, requests=1000)


def test_a_round_shows_both_and_their_ratio() -> None:
    line = ratio.line("1", {"go": figures(80.0), "vcproxy": figures(60.0)})
    assert line.split() == ["1", "80.0", "60.0", "1.25", "1.25", "900", "900", "0.750"]
    assert len(line) == len(ratio.HEAD)


def test_the_last_line_of_bench_ratio_is_one_number() -> None:
    source = (ROOT / "e2e" / "bench" / "ratio.py").read_text()
    prints = re.findall(r"print\((.*)\)", source)
    assert prints[-1] == 'f"{found:.3f}"'
    assert "python) -m e2e.bench.ratio" in (ROOT / "Makefile").read_text()


def test_every_work_with_a_target_is_measured() -> None:
    assert set(requests.LIMITS) <= set(bench.WORKS) <= set(bench.MEASURES)


def test_an_unknown_measure_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.arguments(["--only", "nothing"])
    assert "get-configmap" in capsys.readouterr().err


def test_watchers_and_the_latency_of_one_connection_can_be_profiled() -> None:
    assert [bench.arguments(["--profile", name]).profile for name in ("watchers", "latency")] == ["watchers", "latency"]


def test_counts_of_clients_are_out_of_the_way_and_nothing_else_is_changed() -> None:
    known = {
        "limits.watches": "watches per tenant",
        "limits.all": "connections",
        "limits.bodyBytes": "bytes",
        "log.level": "",
    }
    assert settings(known) == {"limits": {"watches": PLENTY, "all": PLENTY}}
    assert set(settings()) <= {"limits"}


def test_nginx_writes_only_into_its_own_folder() -> None:
    text = rivals.NGINX.format(folder="/run/nginx", host="127.0.0.1:1", port=2, pki="/pki", user="")
    assert re.findall(r"temp_path (\S+)/\w+;", text) == ["/run/nginx"] * 5
    assert "proxy_buffering off;" in text
    assert "proxy_set_header Upgrade $http_upgrade;" in text  # it carries tunnels
    assert text.count("{") == text.count("}")


def test_the_key_of_the_tools_changes_with_their_source(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    before = tools.key(tmp_path)
    (tmp_path / "main.go").write_text("package main // more")
    assert tools.key(tmp_path) != before


def test_the_profile_counts_a_function_once_for_each_stack() -> None:
    raw = (
        "run (asyncio/runners.py:1);handle (/v/site-packages/vcproxy/flow.py:10);parse (vcproxy/core/request.py:5) 6\n"
        "run (asyncio/runners.py:1);handle (/v/site-packages/vcproxy/flow.py:12);SSL_read (libssl.so.3) 2\n"
        "run (asyncio/runners.py:1);parse (vcproxy/core/request.py:9);parse (vcproxy/core/request.py:5) 2\n"
    )
    head, _, *rows = profiling.table(raw, "get", 100.0).splitlines()
    assert head == "get: 100 us of CPU a request (without the profiler), 10 samples"
    assert rows[0].split() == ["80.0%", "80.0", "80.0", "parse", "vcproxy/core/request.py"]
    assert rows[1].split() == ["20.0%", "20.0", "20.0", "SSL_read", "libssl.so.3"]
    assert rows[2:4] == ["", "by file:"]
    assert rows[4].split() == ["80.0%", "80.0", "vcproxy/core/request.py"]
    assert len(rows) == 6


def test_every_target_of_the_makefile_is_in_its_help() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"bench", "bench-ratio"} <= {line.split()[1] for line in said.splitlines()}
