"""`openstylegan view`: a network in the browser."""

from __future__ import annotations

import contextlib
import os
import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def view(
    *networks: str,
    browse: Path | None = None,
    port: int = 8585,
    host: str = "localhost",
    public: Annotated[bool, Parameter(negative="")] = False,
    browser: bool = True,
    capture_dir: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Look at networks in the browser: latents, styles, layers, spectra, and runs while they train.

    Prints one address, with a token, and opens it. Over SSH: ssh -L 8585:localhost:8585 MACHINE, then open the address
    here. Ctrl-C ends it.

    Parameters
    ----------
    networks
        Network files, run folders (all their snapshots), folders of runs, URLs. Without any: the runs below the
        present folder. Only these can be opened from the page.
    browse
        A folder whose runs are listed too.
    port
        Where to listen; 0 takes any free port.
    host
        The address to listen at; any but this machine's own needs --public.
    public
        Let other machines in. Whoever has the address with its token can then use the viewer; nothing is encrypted.
    browser
        Open the address in the browser.
    capture_dir
        Folder in which captures are kept too, numbered.
    device
        Where to draw.
    """
    from openstylegan.viewer.address import check_installed, listen, new_token, url_of

    check_installed()
    listening, token = listen(host, port, public), new_token()
    url = url_of(host, listening, token)
    with listening:
        from openstylegan.ops.allocator import configure_allocator
        from openstylegan.training.launch import pick_device
        from openstylegan.viewer.guard import Guard
        from openstylegan.viewer.hub import Hub
        from openstylegan.viewer.models import ModelList
        from openstylegan.viewer.server import Server

        configure_allocator()
        leave_a_core()
        models = ModelList(networks, browse if networks or browse is not None else Path())
        hub = Hub(models, pick_device(device), capture_dir)
        server = Server(hub, Guard(token, public), lambda: announce(url, browser, len(models.places)))
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_at(listening)
    print("openstylegan: the viewer has ended")


def leave_a_core() -> None:
    """One thread less than cores, for the browser draws on this machine too.

    With all of them every operation waits until the browser gives a core back: on 2 cores the demo's 64 px network took
    200 to 600 ms a picture beside Chromium with 2 threads, and takes 16 ms with 1. `OMP_NUM_THREADS` says otherwise.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(torch.get_num_threads() - 1, 1))


def announce(url: str, browser: bool, num_networks: int) -> None:
    """Prints the address, and opens it in the browser if wanted."""
    print(f"{num_networks} networks can be looked at; Ctrl-C ends the viewer\n{url}", flush=True)
    if browser:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
