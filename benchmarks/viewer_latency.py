"""How long is it from a moved slider to pixels in the viewer, and from the start to the first picture?

    python benchmarks/viewer_latency.py [--resolution 64] [--seconds 6] [--json FILE]

A StyleGAN2 of demo-stylegan2's widths, at 64 px. Three measurements, wall time, with nothing else running:

* through Chromium: the psi slider is moved at every frame of the browser; from a change to the drawn canvas, as the
  page itself counts (a change that comes while a picture is drawn waits for it);
* through a plain WebSocket client, one view after the other: from sending a view to its picture;
* from the moment that torch is imported to the first picture on the canvas, the browser being open.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from viewing import Viewer, chromium, viewing

from openstylegan.files import write_json
from openstylegan.networks import GENERATORS
from openstylegan.presets.demo_stylegan2 import OPTIONS, make_config
from openstylegan.registry import build
from openstylegan.snapshot import write_snapshot

GOALS = {"frames_per_second": 30.0, "p95_ms": 60.0, "first_picture_s": 4.0}
WARM, MOST_WARMING = 30, 8
MOVE = """seconds => new Promise((resolve) => {
  const slider = document.querySelector('#s-truncate input[type="range"]');
  const canvas = document.getElementById("picture");
  const [found, from] = [[], performance.now()];
  canvas.addEventListener("drawn", (event) => found.push([performance.now(), event.detail.latency, event.detail.ms]));
  const step = (now) => {
    if (now - from > seconds * 1000) { resolve(found); return; }
    slider.value = 0.5 + 0.5 * Math.sin((now - from) / 500);
    slider.dispatchEvent(new Event("input"));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def write_network(path: Path, resolution: int) -> None:
    """An untrained generator of demo-stylegan2's widths."""
    config = make_config(dataclasses.replace(OPTIONS, batch=16), "unused", resolution)
    options = {**config.generator.network.options, "c_dim": 0, "img_resolution": resolution, "img_channels": 3}
    component = dataclasses.replace(config.generator.network, options=options)
    G = build(GENERATORS, component.name, options, "generator")
    write_snapshot(path, {"G_ema": G}, {"G": component}, {})


def summary(latencies: list[float], seconds: float) -> dict[str, float]:
    """Frames a second and quantiles of latencies in ms."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "frames_per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
    }


def through_browser(browser: Any, viewer: Viewer, seconds: float) -> tuple[dict[str, float], float]:
    """The slider's numbers, and when the first picture was there."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(viewer.url)
    canvas = page.locator("#picture[data-busy=false]")
    canvas.wait_for()
    first = time.monotonic()
    # Operations may still be compiled, which is done once for a machine and takes both cores.
    for _ in range(MOST_WARMING):
        if len(page.evaluate(MOVE, 2.0)) > WARM:
            break
    frames = page.evaluate(MOVE, seconds)[WARM:]
    if len(frames) < WARM:
        sys.exit(f"expected a picture for most of the slider's moves, got {len(frames) + WARM} in {seconds} s")
    result = summary([latency for _, latency, _ in frames], (frames[-1][0] - frames[0][0]) / 1000)
    stages = {name: round(statistics.median(ms.get(name, 0.0) for _, _, ms in frames), 1) for name in frames[0][2]}
    page.close()
    return {**result, **{f"{name}_ms": value for name, value in stages.items()}}, first


def through_socket(viewer: Viewer, seconds: float) -> dict[str, float]:
    """One view after the other, without a browser."""
    from websockets.sync.client import connect

    found: list[float] = []
    with connect(viewer.url.replace("http", "ws").replace("/?", "/ws?"), max_size=None) as socket:
        model = json.loads(socket.recv())["first"]
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(found) < 2 * WARM:
            start = time.perf_counter()
            view = {"model": model, "psi": (len(found) % 100) / 100}
            socket.send(json.dumps({"type": "view", "id": len(found), "view": view, "width": 512}))
            while not picture_of(socket.recv(), len(found)):
                pass
            socket.send(json.dumps({"type": "ack", "id": len(found)}))
            found.append(1000 * (time.perf_counter() - start))
    return summary(found[WARM:], sum(found[WARM:]) / 1000)


def picture_of(message: str | bytes, number: int) -> bool:
    """Whether a message is the picture that answers `number`."""
    if isinstance(message, str):
        return False
    (length,) = struct.unpack_from("<I", message)
    return bool(json.loads(message[4 : 4 + length])["id"] == number)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        network = Path(folder) / "network.safetensors"
        write_network(network, arguments.resolution)
        with viewing(os.fspath(network)) as viewer:
            page, first = through_browser(browser, viewer, arguments.seconds)
            socket = through_socket(viewer, arguments.seconds)
    result = {"page": page, "socket": socket, "first_picture_s": round(first - viewer.torch_at, 2)}
    print(f"{arguments.resolution} px, the widths of demo-stylegan2, {os.cpu_count()} cores\n")
    print("| | pictures a second | median, ms | 95 %, ms |\n|---|---|---|---|")
    for name, found in (("slider to pixels, through Chromium", page), ("view to picture, plain client", socket)):
        print(f"| {name} | {found['frames_per_second']} | {found['p50_ms']} | {found['p95_ms']} |")
    stages = ", ".join(f"{name.removesuffix('_ms')} {value}" for name, value in list(page.items())[3:])
    print(f"\nms by stage, median: {stages}")
    print(f"first picture {result['first_picture_s']} s after torch was imported")
    print("goals through Chromium: " + ", ".join(f"{name} {value:.0f}" for name, value in GOALS.items()))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
