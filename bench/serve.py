"""Serving beside its peers: the same model in the same run, look-up among many rows, and a swap of models under load.

This service has all its security on, behind its edge (nginx, TLS) as it is shipped, and alone on loopback (TLS too).
Of its peers a plain FastAPI application has no security and stands behind the same edge; BentoML, MLServer and Feast's
feature server speak plain HTTP. Each has an environment of its own, made here from ``bench/peers``, once. Every server
is one process that answers, one at a time on the machine, and is asked by the same programs; every figure is
the median of some rounds. ``SECONDS`` of each cell, ``ROUNDS``, ``ROWS`` of the look-up (0 leaves it out), ``RATE`` of
the fixed rate, and ``PARTS=models,look-up,swap`` may be set.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import serve_programs as programs
from peer_environments import PEERS, peer
from serve_load import LoadError, Program, at_rate, figures_of, saturation, wrk

from mlops_assets.demo.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("SECONDS", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
ROWS = int(os.environ.get("ROWS", "10000000"))
RATE = float(os.environ.get("RATE", "200"))
PARTS = os.environ.get("PARTS", "models,look-up,swap").split(",")
CONNECTIONS = (1, 8, 64)
SWAP_CONNECTIONS = 8
SWAPS = 10
MODEL_SERVERS = ("BentoML", "MLServer")
OWN, FRAMEWORK = programs.OURS, programs.FRAMEWORK
MOST_START_SECONDS = 1.5
MOST_DIFFERENCE = 1e-6
"""By how much answers of two servers may differ: the model computes in single precision."""
NOT_SHOWN = re.compile("c[0-9]+_p50_ms|c(1|64)_(cpu_us|p99_ms)|failed")
Figures = dict[str, float]


def measured(program: Program, connections: tuple[int, ...]) -> Figures:
    """Start a server and measure it: start, fixed rate, saturation, and memory at the end."""
    with program:
        found = {"start_s": program.start_seconds, "value": program.first_value}
        found |= {f"rate_{name}": value for name, value in at_rate(program, rate=RATE, seconds=SECONDS).items()}
        for count in connections:
            full = saturation(program, connections=count, seconds=SECONDS)
            found |= {f"c{count}_{name}": value for name, value in full.items() if name != "requests"}
        found["pss_mib"] = program.pss_mib()
    failed = {name: value for name, value in found.items() if name.endswith("failed") and value}
    if failed:
        print(f"  {program.name}: not answered as it should: {failed}", flush=True)
    return found


def in_rounds(makers: list[Callable[[], Program]], connections: tuple[int, ...]) -> dict[str, Figures]:
    """The figures of each server, median over rounds in which each has its turn; failures are summed."""
    rounds: dict[str, list[Figures]] = {}
    for _ in range(ROUNDS):
        for make in makers:
            program = make()
            shutil.rmtree(program.folder / "metrics", ignore_errors=True)
            try:
                rounds.setdefault(program.name, []).append(measured(program, connections))
            except LoadError as error:
                print(f"  {error}", flush=True)
    values = {server: found[0].pop("value") for server, found in rounds.items()}
    if max(values.values()) - min(values.values()) > MOST_DIFFERENCE:
        raise LoadError(f"the servers do not answer the same: {values}")
    return {
        server: {
            name: (sum if name.endswith("failed") else statistics.median)([each[name] for each in found])
            for name in found[0]
        }
        for server, found in rounds.items()
    }


def show(table: dict[str, Figures]) -> None:
    """Print servers below each other, then how many times each of their figures ours is."""
    names = [name for name in next(iter(table.values())) if not NOT_SHOWN.search(name)]
    print(f"{'':>20}" + "".join(f"{name:>15}" for name in names))
    for server, figures in table.items():
        print(f"{server:>20}" + "".join(f"{figures[name]:>15,.2f}" for name in names))
    print("ours / theirs")
    for server, figures in table.items():
        if server != OWN and OWN in table:
            ratios = (table[OWN][name] / figures[name] if figures[name] else float("nan") for name in names)
            print(f"{server:>20}" + "".join(f"{ratio:>15,.2f}" for ratio in ratios))
    print(flush=True)


def aims(table: dict[str, Figures]) -> dict[str, bool]:
    """Whether the aims were met: ahead of every model server, and within 1.3 times of the framework."""
    own = table[OWN]
    servers = [table[name] for name in MODEL_SERVERS if name in table]
    full = [f"c{count}_per_second" for count in CONNECTIONS]
    met = {
        "more_throughput_than_model_servers": all(own[name] > each[name] for each in servers for name in full),
        "starts_within_1.5_s": own["start_s"] < MOST_START_SECONDS,
        "lower_p99_than_model_servers": all(own["rate_p99_ms"] < each["rate_p99_ms"] for each in servers),
    }
    for count in CONNECTIONS if FRAMEWORK in table else ():
        name = f"c{count}_per_second"
        met[f"within_1.3_of_framework_c{count}"] = own[name] * 1.3 >= table[FRAMEWORK][name]
    return met


def compare_models(folder: Path, pythons: dict[str, Path]) -> dict[str, Any]:
    """The same model behind each server."""
    home, record = programs.Home(folder / "home"), programs.trained(1)
    home.export("v1", record)
    model = folder / "model.onnx"
    model.write_bytes(record.onnx)
    makers: list[Callable[[], Program]] = [
        lambda: programs.our_inference(home, edge=True),
        lambda: programs.our_inference(home, edge=False),
    ]
    if "fastapi" in pythons:
        makers.append(lambda: programs.fastapi(home, pythons["fastapi"], model, folder))
    for name, maker in (("bentoml", programs.bentoml), ("mlserver", programs.mlserver)):
        if name in pythons:
            makers.append(lambda name=name, maker=maker: maker(pythons[name], model, folder))  # type: ignore[misc]
    table = in_rounds(makers, CONNECTIONS)
    show(table)
    met = aims(table)
    print(met, "\n", flush=True)
    return {"servers": table, "aims": met, "model_bytes": len(record.onnx)}


def compare_look_up(folder: Path, pythons: dict[str, Path]) -> dict[str, Any]:
    """One row among many by its key, at a fixed rate and with eight connections."""
    home = programs.Home(folder / "home")
    began = time.perf_counter()
    home.export("v1", programs.trained(1), programs.persons(ROWS))
    made = {"ours": time.perf_counter() - began}
    tokens = programs.drawn_tokens(ROWS)
    makers: list[Callable[[], Program]] = [
        lambda: programs.our_look_up(home, tokens, edge=True),
        lambda: programs.our_look_up(home, tokens, edge=False),
    ]
    if "feast" in pythons:
        store = folder / "feast"
        store.mkdir()
        began = time.perf_counter()
        subprocess.run([pythons["feast"], PEERS / "feast_serve.py", store, str(ROWS)], check=True, capture_output=True)
        made["feast"] = time.perf_counter() - began
        makers.append(lambda: programs.feast(pythons["feast"], store, tokens))
    table = in_rounds(makers, (8,))
    print(f"{ROWS:,} rows; made in seconds: {made}")
    show(table)
    return {"rows": ROWS, "made_seconds": made, "servers": table}


def swap_under_load(folder: Path) -> dict[str, Any]:
    """Exports with another model made current one after the other, while wrk asks for as much as it gets."""
    home = programs.Home(folder / "home")
    records = [programs.trained(seed) for seed in range(2)]
    home.export("v0", records[0])
    with programs.our_inference(home, edge=True) as program:
        seconds = SWAPS * 1.5 + 2
        with wrk(program, connections=SWAP_CONNECTIONS, seconds=seconds) as running:
            made = []
            for number in range(1, SWAPS + 1):
                time.sleep(1.0)
                made.append(home.export(f"v{number}", records[number % 2]))
                if running.poll() is not None:
                    raise LoadError("the load ended before the last swap; set more SECONDS")
                _wait_until_served(program, made[-1])
            told, _ = running.communicate()
        figures = figures_of(told.decode())
    found = {"swaps": len(made), **{name: figures[name] for name in ("requests", "per_second", "p99_ms", "failed")}}
    print("swap under load:", found, "\n", flush=True)
    return found


def _wait_until_served(program: Program, export_id: str) -> None:
    served = re.compile(r'"export served".*"export_id":\s*"(\w+)"')
    wait_until(
        lambda ids: export_id in ids,
        lambda: served.findall(program.log.read_text(encoding="utf-8")),
        what=f"{program.name} with {export_id}",
        remedy=f"Look at {program.log}.",
        pause=0.1,
    )


def environments() -> dict[str, Path]:
    """The Python of each peer that can be installed; of the others it is said that they cannot."""
    found = {}
    for name in ("fastapi", "bentoml", "mlserver", "feast"):
        try:
            found[name] = peer(name)
        except subprocess.CalledProcessError:
            print(f"{name} cannot be installed here, and is left out.", flush=True)
    return found


def versions(names: dict[str, Path]) -> dict[str, str]:
    """The pinned versions of the peers and of what they stand on."""
    wanted = re.compile(r"^(fastapi|bentoml|mlserver|feast|uvicorn|onnxruntime)==(.+)$", re.MULTILINE)
    return {
        f"{name}: {package}": version
        for name in names
        for package, version in wanted.findall((PEERS / f"{name}.txt").read_text(encoding="utf-8"))
    }


def main() -> None:
    """Measure, print tables and, last, one JSON line."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    if shutil.which("nginx") is None:
        sys.exit("nginx is missing: apt-get install nginx-light")
    pythons = environments()
    result: dict[str, Any] = {
        "bench": "serve",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "seconds": SECONDS,
        "rounds": ROUNDS,
        "rate": RATE,
        "versions": versions(pythons),
    }
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "models": lambda folder: compare_models(folder, pythons),
        "swap": swap_under_load,
        "look-up": lambda folder: compare_look_up(folder, pythons),
    }
    for name, run in parts.items():
        if name in PARTS and (name != "look-up" or ROWS):
            with tempfile.TemporaryDirectory() as folder:
                result[name] = run(Path(folder))
    result["load_after"] = os.getloadavg()[0]
    print(json.dumps(rounded(result)))


def rounded(value: Any) -> Any:  # noqa: ANN401  any JSON
    """The same with four digits of each float."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
