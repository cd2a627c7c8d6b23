"""Pickles that want something run: what they would like to call, the ways to call it, the places to hide it in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from interop.hostile_opcodes import call, integer, legacy, legacy_storage, literal, named, raw, stack_named, text


@dataclass(frozen=True)
class Trap:
    """What is watched: a file that must not appear, a module that must not be imported, a port nobody may call."""

    canary: str
    module: str
    port: int


# What a hostile file would like to call, with arguments that spring the trap.


def wishes(trap: Trap) -> list[tuple[str, str, tuple[object, ...]]]:
    touch = f"touch {trap.canary}"
    write = f"open({trap.canary!r}, 'w').close()"
    inner = b"\x80\x02" + call("os", "system", touch) + b"."
    return [
        ("os", "system", (touch,)),
        ("posix", "system", (touch,)),
        ("nt", "system", (touch,)),
        ("os", "popen", (touch,)),
        ("os", "execvp", ("touch", ["touch", trap.canary])),
        ("os", "spawnlp", (0, "touch", "touch", trap.canary)),
        ("os", "fork", ()),
        ("os", "_exit", (3,)),
        ("os", "remove", (trap.canary,)),
        ("os", "mkdir", (trap.canary,)),
        ("subprocess", "Popen", (["touch", trap.canary],)),
        ("subprocess", "check_output", (["touch", trap.canary],)),
        ("subprocess", "getoutput", (touch,)),
        ("pty", "spawn", (["touch", trap.canary],)),
        ("builtins", "eval", (write,)),
        ("builtins", "exec", (write,)),
        ("builtins", "open", (trap.canary, "w")),
        ("builtins", "compile", (write, "x", "exec")),
        ("builtins", "__import__", (trap.module,)),
        ("builtins", "getattr", ("x", "__class__")),
        ("builtins", "print", ("hello",)),
        ("builtins", "input", ()),
        ("builtins", "breakpoint", ()),
        ("builtins", "map", ("x", "y")),
        ("builtins", "type", ("X", (), {})),
        ("builtins", "bytes", (1 << 40,)),
        ("builtins", "bytearray", (1 << 40,)),
        ("__builtin__", "eval", (write,)),
        ("__builtin__", "apply", ("x",)),
        ("__builtin__", "file", (trap.canary, "w")),
        ("importlib", "import_module", (trap.module,)),
        ("importlib._bootstrap", "_gcd_import", (trap.module,)),
        (trap.module, "anything", ()),
        (trap.module, "Class", ("a",)),
        ("runpy", "run_module", (trap.module,)),
        ("runpy", "run_path", (trap.canary,)),
        ("socket", "create_connection", (("127.0.0.1", trap.port),)),
        ("urllib.request", "urlopen", (f"http://127.0.0.1:{trap.port}/",)),
        ("http.client", "HTTPConnection", ("127.0.0.1", trap.port)),
        ("webbrowser", "open", (f"http://127.0.0.1:{trap.port}/",)),
        ("pickle", "loads", (inner,)),
        ("_pickle", "loads", (inner,)),
        ("dill", "loads", (inner,)),
        ("cloudpickle.cloudpickle", "_make_function", (inner,)),
        ("dill._dill", "_create_function", (inner,)),
        ("marshal", "loads", (inner,)),
        ("types", "FunctionType", ("x", {})),
        ("types", "CodeType", (0,)),
        ("functools", "partial", ("x",)),
        ("functools", "reduce", ("x", [1])),
        ("operator", "attrgetter", ("system",)),
        ("operator", "methodcaller", ("system", touch)),
        ("codecs", "open", (trap.canary, "w")),
        ("_codecs", "encode", ("x", "rot13")),
        ("_codecs", "decode", (inner, "zlib")),
        ("io", "open", (trap.canary, "w")),
        ("_io", "FileIO", (trap.canary, "w")),
        ("pathlib", "PosixPath", (trap.canary,)),
        ("shutil", "rmtree", (trap.canary,)),
        ("shutil", "copyfile", ("/etc/hostname", trap.canary)),
        ("ctypes", "CDLL", ("libc.so.6",)),
        ("sys", "exit", (0,)),
        ("signal", "raise_signal", (9,)),
        ("threading", "Thread", ()),
        ("multiprocessing", "Process", ()),
        ("timeit", "timeit", (write,)),
        ("pdb", "run", (write,)),
        ("cProfile", "run", (write,)),
        ("code", "interact", ()),
        ("doctest", "debug_script", (write,)),
        ("logging.config", "fileConfig", (trap.canary,)),
        ("numpy", "load", (trap.canary,)),
        ("numpy", "fromfile", (trap.canary,)),
        ("numpy", "save", (trap.canary, 1)),
        ("numpy.core.records", "fromfile", (trap.canary,)),
        ("numpy.testing._private.utils", "runstring", (write, {})),
        ("numpy.ctypeslib", "load_library", ("libc", "/lib")),
        ("torch", "load", (trap.canary,)),
        ("torch", "save", (1, trap.canary)),
        ("torch.hub", "load", ("a/b", "c")),
        ("torch.jit", "load", (trap.canary,)),
        ("torch.serialization", "load", (trap.canary,)),
        ("torch.storage", "_load_from_bytes", (inner,)),
        ("torch._utils", "_rebuild_tensor_v2", (1, 2, 3)),
        ("torch.utils.data", "DataLoader", ([1],)),
        ("torch_utils.persistence", "_src_to_module", (write,)),
        ("torch_utils.custom_ops", "get_plugin", ("x", [trap.canary])),
        ("dnnlib.util", "call_func_by_name", (touch,)),
        ("dnnlib.util", "open_url", (f"http://127.0.0.1:{trap.port}/",)),
        ("openstylegan.files", "write_text", (trap.canary, "x")),
        ("openstylegan.cli.main", "main", (["doctor"],)),
    ]


# Ways to make the call, and places to hide it in.


def as_global(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return named(module, name) + literal(args) + b"R"


def as_stack_global(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return stack_named(module, name) + literal(args) + b"R"


def as_memoized(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """The names hidden in the memo, taken out in another order."""
    return text(name) + b"\x94" + b"0" + text(module) + b"\x94" + b"0" + b"h\x01h\x00\x93" + literal(args) + b"R"


def as_instance(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return b"(" + b"".join(map(literal, args)) + b"i" + module.encode() + b"\n" + name.encode() + b"\n"


def as_object(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return b"(" + named(module, name) + b"".join(map(literal, args)) + b"o"


def as_new(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return named(module, name) + literal(args) + b"\x81"


def as_new_with_keywords(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return stack_named(module, name) + literal(args) + literal({"shell": True}) + b"\x92"


def as_dotted(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """Through an attribute of a harmless module."""
    return stack_named("torch.nn", f"functional.{module}.{name}") + literal(args) + b"R"


def as_reconstructor(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return named("copyreg", "_reconstructor") + b"(" + named(module, name) + named("builtins", "object") + b"Nt" + b"R"


def as_new_function(module: str, name: str, args: tuple[object, ...]) -> bytes:
    inner = b"(" + named(module, name) + b"".join(map(literal, args)) + b"t"
    return named("copyreg", "__newobj__") + inner + b"R"


def as_state(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """A record of a class that is known, whose state holds the call."""
    state = text("__setstate__") + named(module, name) + text("__reduce__") + as_global(module, name, args)
    return named("torch.nn.modules.module", "Module") + b")\x81}(" + state + b"ub"


def as_dict_state(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """Attributes set on a dict: `__class__`, `update`."""
    return named("collections", "OrderedDict") + b")R}(" + text("__class__") + named(module, name) + b"ub"


def as_default_factory(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return named("collections", "defaultdict") + named(module, name) + b"\x85R" + text("x") + literal(args) + b"s"


def as_called_record(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """The result of a call called again."""
    return named("torch.nn.modules.module", "Module") + b")\x81" + named(module, name) + b"\x85R"


def as_bare_name(module: str, name: str, args: tuple[object, ...]) -> bytes:
    return named(module, name)


def as_tensor_hook(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """In the hooks of a parameter."""
    storage = call("torch.storage", "_load_from_bytes", legacy_storage())
    hooks = b"}(" + text("x") + named(module, name) + b"u"
    shape = literal((2,)) + literal((1,)) + b"\x89"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + integer(0) + shape + hooks + b"tR"


def as_legacy_object(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """In the pickles inside a storage's bytes."""
    return call("torch.storage", "_load_from_bytes", legacy(as_global(module, name, args)))


def as_legacy_system(module: str, name: str, args: tuple[object, ...]) -> bytes:
    inner = legacy(b"N", system=as_global(module, name, args))
    return call("torch.storage", "_load_from_bytes", inner)


def as_legacy_keys(module: str, name: str, args: tuple[object, ...]) -> bytes:
    inner = legacy(b"N", keys=as_global(module, name, args))
    return call("torch.storage", "_load_from_bytes", inner)


def as_legacy_source(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """A module's class and its source, as the older layout of torch.save keeps them, and then an object of it."""
    source = b"(" + text("module") + named(module, name) + text("x.py") + literal(str(args)) + b"tQ"
    return call("torch.storage", "_load_from_bytes", legacy(source + literal(args) + b"R"))


def as_object_array(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """An array of objects, which NumPy keeps as a list."""
    dtype = named("numpy", "dtype") + literal(("O8", False, True)) + b"R"
    dtype += literal((3, "|", None, None, None, -1, -1, 63)) + b"b"
    array = (
        named("numpy.core.multiarray", "_reconstruct") + b"(" + named("numpy", "ndarray") + literal((0,)) + raw(b"b")
    )
    items = b"](" + as_global(module, name, args) + b"e"
    return array + b"tR(" + integer(1) + literal((1,)) + dtype + b"\x89" + items + b"tb"


def as_dtype_metadata(module: str, name: str, args: tuple[object, ...]) -> bytes:
    dtype = named("numpy", "dtype") + literal(("f4", False, True)) + b"R"
    return dtype + b"(K\x04" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00" + named(module, name) + b"tb"


def as_embedded_source(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """What the originals' loader would run: the text of a program, inside a network."""
    source = f"import {module}\n{module}.{name}(*{args!r})\n"
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Generator", "state": {"_modules": {}}}
    return call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def as_build_source(module: str, name: str, args: tuple[object, ...]) -> bytes:
    """The same in TensorFlow's layout."""
    source = f"import {module}\n{module}.{name}(*{args!r})\n"
    state = {"version": 4, "name": "Gs", "static_kwargs": {}, "components": {}, "variables": []}
    state |= {"build_module_src": source, "build_func_name": "G_main"}
    return named("dnnlib.tflib.network", "Network") + b")\x81" + literal(state) + b"b"


FORMS: tuple[Callable[[str, str, tuple[object, ...]], bytes], ...] = (
    as_global,
    as_stack_global,
    as_memoized,
    as_instance,
    as_object,
    as_new,
    as_new_with_keywords,
    as_dotted,
    as_reconstructor,
    as_new_function,
    as_state,
    as_dict_state,
    as_default_factory,
    as_called_record,
    as_bare_name,
    as_tensor_hook,
    as_legacy_object,
    as_legacy_system,
    as_legacy_keys,
    as_legacy_source,
    as_object_array,
    as_dtype_metadata,
    as_embedded_source,
    as_build_source,
)


def hidden(rng: random.Random, body: bytes) -> bytes:
    """`body` somewhere in something that looks like a network."""
    places = (
        lambda: body,
        lambda: b"}(" + text("G_ema") + body + text("G") + b"N" + text("D") + b"Nu",
        lambda: b"]" + body + b"a",
        lambda: b"(" + body + body + body + b"t",
        lambda: body + b"0" + literal({"G_ema": None}),
        lambda: b"(" + body + b"1" + literal({"G_ema": None}),
        lambda: b"}" + text("G_ema") + b"}(" + text("state") + body + b"us",
        lambda: named("dnnlib.util", "EasyDict") + b")\x81" + text("a") + body + b"s",
        lambda: b"\x8f(" + body + b"\x90",
        lambda: b"}" + body + literal(1) + b"s",
    )
    return b"\x80" + bytes([rng.choice((2, 3, 4, 5))]) + rng.choice(places)() + b"."
